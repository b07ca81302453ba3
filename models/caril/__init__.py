"""CARIL: a network with a regression head and a classification head for steering."""
