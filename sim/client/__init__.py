"""Talking to a simulator, the pocket one or CARLA, through the official `carla` package only."""
