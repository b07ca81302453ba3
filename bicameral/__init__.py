"""Bicameral: driving agents and classifiers that know when they are unsure."""

__version__ = "0.1.0"
