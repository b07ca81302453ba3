"""A classifier that learns classes from a handful of images, with memories of features."""
