"""What to do with a steering value that may be wrong."""
