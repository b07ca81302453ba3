"""The paper's experiment: what classifiers cost on streams in which images come again."""
