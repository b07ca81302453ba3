"""From a trained model to the files for one target: simplified, quantised, checked, described."""
