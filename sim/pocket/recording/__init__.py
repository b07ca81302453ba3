"""Recordings of episodes: the files, and the texts that say what is in them."""
