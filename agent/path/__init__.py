"""The driving agent whose networks see the path ahead, and what becomes of several such paths."""
