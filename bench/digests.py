"""Recipes as a configuration has them: a file by its digest, a network with the digest of its code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bench.code import module_digest

PREFIX = "sha256:"
CODE = "code"
"""Of a network, beside its settings."""


def described(recipe: BaseModel, prefix: str) -> dict[str, Any]:
    """The recipe in JSON terms. prefix: what it is called in a suite, for messages. Raises DataError for a file."""
    from tasks.data.files import file_digest
    from tasks.networks.base import Network

    found: dict[str, Any] = {}
    for name, dumped in recipe.model_dump(mode="json").items():
        value, place = getattr(recipe, name), f"{prefix}.{name}"
        if isinstance(value, Path):
            found[name] = PREFIX + file_digest(value, place)
        elif isinstance(value, Network):
            code = _code(type(value).__module__, *value.sources)
            found[name] = {**described(value, place), CODE: PREFIX + code}
        else:
            found[name] = dumped
    return found


@cache
def _code(*modules: str) -> str:
    return module_digest(*modules)


def without(values: Any) -> dict[str, Any]:
    """Of a configuration's settings those that a suite can have: all but digests."""
    if not isinstance(values, Mapping):
        return {}
    return {
        key: without(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if not (isinstance(value, str) and value.startswith(PREFIX))
    }


def files_of(recipe: BaseModel, prefix: str) -> dict[str, Path]:
    """Every file that a recipe names, by its dotted place in a suite."""
    found: dict[str, Path] = {}
    for name in type(recipe).model_fields:
        value, place = getattr(recipe, name), f"{prefix}.{name}"
        if isinstance(value, Path):
            found[place] = value
        elif isinstance(value, BaseModel):
            found |= files_of(value, place)
    return found
