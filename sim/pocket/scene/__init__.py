"""From an OpenDRIVE map to triangles, textures and obstacles."""
