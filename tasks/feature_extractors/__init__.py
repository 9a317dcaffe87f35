"""Frozen networks that extractor, trained by the project itself and cached like teachers."""
