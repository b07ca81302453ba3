"""What classifiers cost on streams in which images come again: the paper's experiment."""
