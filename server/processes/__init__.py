"""Several processes behind one port that answer as one server."""
