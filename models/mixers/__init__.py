"""What lets the tokens of a picture or a text see each other; one way a file."""
