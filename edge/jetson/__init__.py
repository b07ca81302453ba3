"""What runs on a Jetson, and what packs it: one dependency-free file, and the bundle around it."""
