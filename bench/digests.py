"""Settings as a configuration has them: a file by its digest, a network with the digest of its code."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bench.code import module_digest

PREFIX = "sha256:"
CODE = "code"
"""Of a network, beside its settings."""


def described(settings: BaseModel, prefix: str = "", leave: Collection[str] = ()) -> dict[str, Any]:
    """Settings in JSON terms, but for what is left out. prefix: what they are called in a suite, for messages.

    Raises DataError for a file that cannot be read.
    """
    from tasks.data.files import file_digest
    from tasks.networks.base import Network

    found: dict[str, Any] = {}
    for name, dumped in settings.model_dump(mode="json", exclude={*leave}).items():
        value, place = getattr(settings, name), f"{prefix}.{name}".removeprefix(".")
        if isinstance(value, Path):
            found[name] = PREFIX + file_digest(value, place)
        elif isinstance(value, Network):
            code = _code(type(value).__module__, value.sources)
            found[name] = {**described(value, place), CODE: PREFIX + code}
        else:
            found[name] = dumped
    return found


@cache
def _code(module: str, sources: tuple[str, ...]) -> str:
    return module_digest(module, sources)


def forget_code() -> None:
    """Networks' code is looked at again when it is asked for next."""
    _code.cache_clear()


def without(values: Any, file: str = "") -> dict[str, Any]:
    """Of a configuration's settings those that a suite can have: all but digests. file: in place of a file's."""
    if not isinstance(values, Mapping):
        return {}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found[key] = without(value, file)
        elif not (isinstance(value, str) and value.startswith(PREFIX)):
            found[key] = value
        elif file and key != CODE:
            found[key] = file.format(digest=value)
    return found
