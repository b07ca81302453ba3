"""What requests cost: a server in processes of its own, a load, and the networks behind it."""
