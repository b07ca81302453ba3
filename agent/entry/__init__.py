"""The driver as an entry of the CARLA leaderboard and of Bench2Drive, on their track SENSORS."""
