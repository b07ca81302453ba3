"""Reading recorded drives: what is said of a frame, and the network that says and finds it."""
