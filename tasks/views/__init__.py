"""What lies between a task's images and a network: size, normalisation and precision."""
