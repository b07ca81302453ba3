"""Labelled images: the formats they come in, and their three parts."""
