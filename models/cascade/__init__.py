"""Choosing and judging a cascade of two classifiers from stored logits; no torch."""
