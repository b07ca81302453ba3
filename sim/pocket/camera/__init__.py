"""The software camera: visibility, shading and encoding of one frame."""
