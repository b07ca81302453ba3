"""The simulated world: maps, actors, ticks and sensors. It knows nothing of sockets."""
