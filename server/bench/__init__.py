"""What the server costs, how it behaves when it is given too much, and how it stands a long day."""
