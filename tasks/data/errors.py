"""What is wrong with the user's data, in one line."""

from __future__ import annotations


class DataError(ValueError):
    """A folder, an image or a set that cannot be used; one line that names it."""
