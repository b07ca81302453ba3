"""Classifiers from the literature: what there is, how each is trained, what each is good for."""
