"""Experiment trackers that records are also written to: TensorBoard and MLflow."""
