"""The result memory: images that were classified before are answered without a network."""
