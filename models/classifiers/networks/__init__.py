"""Network definitions for image classification, one family per file."""
