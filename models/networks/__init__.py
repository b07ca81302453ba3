"""Network definitions, one family a file, and the architectures that train by name."""
