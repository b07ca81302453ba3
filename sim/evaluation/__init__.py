"""Closed-loop evaluation: what to drive, driving it, and keeping what happened."""
