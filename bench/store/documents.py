"""What is kept as JSON: frozen pydantic models with a schema version, read in whole or refused, written atomically."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError, one_line


class Part(BaseModel):
    """A document, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _finite(table: dict[str, Any]) -> dict[str, Any]:
    """Python reads and writes infinities in JSON; others do not, and they have no canonical form."""
    for place, number in _numbers(table):
        if not math.isfinite(number):
            raise ValueError(f"{place}: {number} is no number (allowed: finite numbers)")
    return table


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """Every floating-point number, with its place: 'libraries.torch', 'sizes.2'."""
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _numbers(entry, f"{place}.{key}" if place else str(key))


Table = Annotated[dict[str, Any], AfterValidator(_finite)]
"""Whatever JSON holds."""


class Filed(Part, ABC):
    """A document with a place of its own in a results folder."""

    @property
    @abstractmethod
    def path(self) -> Path: ...


P = TypeVar("P", bound=Part)
F = TypeVar("F", bound=Filed)


@dataclass(frozen=True)
class Scan(Generic[F]):
    """What a folder holds, by path. problems: why each file that is none of it counts for nothing, one line each."""

    found: tuple[F, ...]
    problems: Mapping[Path, str]


class OtherSchemaError(UserError):
    """A document of another schema version: not readable here, and perhaps valuable."""


def canonical_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path, model: type[P], version: int, noun: str) -> P:
    """One document; ``path`` as it is. noun: what it is called.

    Raises UserError for what is none, or contradicts itself.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: cannot be read as a {noun} (not a regular file)")
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as a {noun} ({error})") from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise UserError(f"{path}: not a distillbench {noun} (no field schema_version)")
    found = content["schema_version"]
    if found != version:
        reason = f"{found} is not one that this program reads (allowed: {version})"
        raise (OtherSchemaError if isinstance(found, int) else UserError)(f"{path}: schema_version: {reason}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}." for part in first["loc"])[:-1]
        reason = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{path}: {where}: {reason}" if where else f"{path}: {reason}") from error
    except (OverflowError, RecursionError) as error:  # of numbers, or a depth, that no measurement has
        raise UserError(f"{path}: cannot be read as a {noun} ({error})") from error


def scan(results: Path, folder: str, model: type[F], version: int, noun: str) -> Scan[F]:
    """Every document beneath a folder of a results folder that can be read and lies where it belongs."""
    found, problems = [], {}
    for path in sorted((results / folder).rglob("*.json")):
        place = path.relative_to(results)
        try:
            document = read(path, model, version, noun)
            if document.path != place:
                raise UserError(f"{path}: holds the {noun} of {document.path}")
            found.append(document)
        except UserError as error:
            problems[place] = one_line(str(error))
    return Scan(tuple(found), problems)


def write(path: Path, document: Part) -> None:
    """Whole, or not at all."""
    write_atomically(path, (_text(document.model_dump(mode="json")) + "\n").encode())


def _text(value: Any, indent: str = "") -> str:
    """JSON with a line a field and a line a list, so that a difference can be read."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    lines = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {_text(entry, inner)}" for key, entry in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
