"""One command line for what operators do by hand in several services."""
