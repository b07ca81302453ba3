"""Numbers from recorded drives: computed afterwards, from what is on disk."""
