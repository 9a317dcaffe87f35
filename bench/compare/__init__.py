"""What changed between two sets of measurements, and whether it may."""
