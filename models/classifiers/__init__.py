"""Image classifiers: data sets, small networks, pair selection, and the cascade they become."""
