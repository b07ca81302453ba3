"""The driving agent: dual-head output, confidence, correction, control."""
