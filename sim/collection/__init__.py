"""Recording what the expert would do, in pictures that a network can learn from."""
