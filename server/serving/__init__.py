"""What is served and how it is batched; no HTTP."""
