"""The Open Inference Protocol (V2) in bytes: requests decoded, answers encoded; no HTTP, no I/O."""
