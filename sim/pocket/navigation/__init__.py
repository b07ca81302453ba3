"""Where walkers may go: a navigation mesh of any map, in the file that CARLA's client reads."""
