"""What a client can ask for over HTTP."""
