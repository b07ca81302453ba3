"""Network definitions, training and export; the only place that imports torch, lazily."""
