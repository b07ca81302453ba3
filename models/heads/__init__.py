"""Classifiers that answer from the frozen features of another one."""
