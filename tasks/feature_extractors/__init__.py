"""Frozen networks that a metric or a loss looks through, made by the project itself and cached like teachers."""
