"""What tasks show of their models."""
