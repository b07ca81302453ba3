"""Routes: planning on the map's lanes, commands, speed profiles, sampling, and route files."""
