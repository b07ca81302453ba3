"""The pocket simulator: a CPU-only server that speaks CARLA 0.9.16's wire protocol."""
