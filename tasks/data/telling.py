"""What a user should know of the data, and that stops nothing."""

from __future__ import annotations

import warnings
from functools import lru_cache


class DataWarning(UserWarning):
    """What was left out of a folder, or made again; one line that names it."""


@lru_cache
def tell(message: str) -> None:
    """Warn, once a process: folders are looked at again and again."""
    warnings.warn(message, DataWarning, stacklevel=2)
