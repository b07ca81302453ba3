"""Inference without torch: sidecars, pre-processing, sessions."""
