"""Two sets of measurements compared: what changed, and whether it is within the margins."""
