"""Frames of recorded drives, described and found by words."""
