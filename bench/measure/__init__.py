"""Size and latency of what is deployed, and the environment in which it was measured."""
