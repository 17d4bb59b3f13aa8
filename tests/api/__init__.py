"""Programs of others read the API document aloud to a running stack (O8): schemathesis asks whatever it allows."""
