"""The command line: it composes the parts and holds no logic of its own."""
