"""Joules, where there is a meter, and what may be said where there is none."""
