"""Storage beside raw boto3 and raw file copy; memory while many read (V4)."""
