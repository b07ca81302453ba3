"""Towns generated from a seed, as OpenDRIVE text."""
