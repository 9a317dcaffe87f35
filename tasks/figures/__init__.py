"""The figures that tasks show of their models."""
