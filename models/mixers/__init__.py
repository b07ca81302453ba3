"""What lets the tokens of a picture see each other; one way a file."""
