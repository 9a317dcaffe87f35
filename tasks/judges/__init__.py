"""Frozen networks that judge, trained by the project itself and cached like teachers."""
