"""JSON documents: frozen pydantic models with a schema version, read whole or refused, written atomically."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, to_json

from distillbench.common.atomic import write_atomically
from distillbench.common.errors import UserError

LARGEST = 1e100
"""Measurements above it are refused: sums and squares of larger ones could overflow."""
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
"""A measurement: a finite number with which one can calculate."""
Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A number of something, which fits into 64 bits."""


class Part(BaseModel):
    """A document, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def contradiction(field: str, problem: str, allowed: str = "") -> PydanticCustomError:
    """The error that a validator raises for a field inside of what it validates; ``read`` makes a UserError of it."""
    context = {"field": field, "problem": problem, "allowed": allowed}
    return PydanticCustomError("contradiction", "{problem}", context)


def _finite(table: dict[str, Any]) -> dict[str, Any]:
    """Python reads and writes infinities in JSON; others do not, and they have no canonical form."""
    with suppress(ValueError, TypeError):
        text = to_json(table, inf_nan_mode="constants")
        if b"NaN" not in text and b"Infinity" not in text:
            return table
    for place, value in _leaves(table):
        if isinstance(value, float) and not math.isfinite(value):
            raise contradiction(place, f"{value} is not a number", "finite numbers")
    return table


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that is no table or list, with its place: 'libraries.torch', 'sizes.2'; and every key of a table."""
    if not isinstance(value, dict | list):
        yield place, value
        return
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        inner = f"{place}.{key}" if place else str(key)
        yield inner, key
        yield from _leaves(entry, inner)


Table = Annotated[dict[str, Any], AfterValidator(_finite)]
"""A table of anything that JSON can hold."""


class Filed(Part, ABC):
    """A document with a place of its own in a results folder."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """Where it lies in a results folder."""


P = TypeVar("P", bound=Part)
F = TypeVar("F", bound=Filed)


@dataclass(frozen=True)
class Scan(Generic[F]):
    """The documents of a folder that can be used, by path, and why each of its other files cannot be."""

    documents: tuple[F, ...]
    errors: Mapping[Path, UserError]

    @property
    def problems(self) -> dict[Path, str]:
        """The errors, one line each."""
        return {path: str(error) for path, error in self.errors.items()}


class OtherSchemaError(UserError):
    """A document of another schema version: it cannot be read here, but may be valuable."""


def canonical_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read(path: Path, model: type[P], version: int, noun: str) -> P:
    """One document.

    Args:
        path: the file, absolute or from the current folder.
        model: what it must be.
        version: of its schema.
        noun: what such a document is called in messages.

    Raises:
        OtherSchemaError: it has another schema version.
        UserError: it is not such a document, or contradicts itself.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"cannot be read as a {noun} (not a regular file)", path)
    try:
        raw = path.read_bytes()
        if (document := _plain(raw, model)) is not None:
            return document
        content = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot be read as a {noun} ({error})", path) from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise UserError(f"not a distillbench {noun} (no field schema_version)", path)
    schema = content["schema_version"]
    if schema != version:
        kind = OtherSchemaError if isinstance(schema, int) else UserError
        raise kind(f"{schema} is not a version that this program reads", path, "schema_version", allowed=str(version))
    try:
        _check_characters(content, path)
        return model.model_validate(content)
    except ValidationError as error:
        raise _first_error(error, path) from error
    except (OverflowError, RecursionError) as error:  # of numbers, or a depth, that no measurement has
        raise UserError(f"cannot be read as a {noun} ({error})", path) from error


def _plain(raw: bytes, model: type[P]) -> P | None:
    """Read a document that is as it should be, in half the time; None for one that needs a closer look."""
    try:
        document = model.model_validate_json(raw)
    except ValueError:
        return None
    return document if "schema_version" in document.model_fields_set else None


def _check_characters(content: Any, path: Path) -> None:
    for place, value in _leaves(content):
        if isinstance(value, str) and value.encode(errors="replace").decode() != value:
            raise UserError(f"{value!r} has half of a character", path, place, allowed="whole characters")


def _first_error(error: ValidationError, path: Path) -> UserError:
    """The first thing that is wrong, and the field that it is about."""
    first = error.errors()[0]
    context, field = first.get("ctx", {}), ".".join(map(str, first["loc"]))
    if first["type"] == "contradiction":
        field = ".".join(filter(None, (field, context["field"])))
        return UserError(first["msg"], path, field, allowed=context["allowed"] or ())
    for key, words in _BOUNDS.items():
        if key in context:
            value = str(first["input"])
            short = value if len(value) <= 20 else f"{value[:20]}…"
            return UserError(f"{short} is out of range", path, field, allowed=f"{words} {context[key]:g}")
    return UserError(first["msg"].removeprefix("Value error, "), path, field)


_BOUNDS = {"le": "at most", "lt": "below", "ge": "at least", "gt": "above"}
"""Pydantic's names of the bounds of a number, in words."""


def files(folder: Path, tasks: Collection[str] | None = None) -> list[Path]:
    """Everything beneath a folder whose name ends in .json, by path.

    Args:
        folder: with a folder a task.
        tasks: those whose folders are read; None: all.
    """
    roots = [folder] if tasks is None else [folder / task for task in tasks]
    found = (Path(at, name) for root in roots for at, folders, names in os.walk(root) for name in folders + names)
    return sorted(path for path in found if path.name.endswith(".json"))


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the garbage collector, which would look through all documents again for every so many that are read."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def kept_to_the_end() -> Iterator[None]:
    """Leave what is read meanwhile to no later collection: for a command, whose process ends soon.

    Not for a library: of all that there is at the end, also of a caller's, what is in cycles is never freed.
    """
    with collection_paused():
        yield
        gc.freeze()


def scan(
    results: Path, folder: str, read_one: Callable[[Path], F], noun: str, tasks: Collection[str] | None = None
) -> Scan[F]:
    """Read every document beneath a folder of a results folder.

    Args:
        results: the results folder.
        folder: inside it, with a folder a task.
        read_one: reads one of them, or raises UserError.
        noun: what such a document is called in messages.
        tasks: those whose folders are read; None: all.

    Returns:
        Those that can be read and lie where they belong, and an error for every other file.
    """
    documents, errors = [], {}
    with collection_paused():
        for path in files(results / folder, tasks):
            place = path.relative_to(results)
            try:
                document = read_one(path)
                if document.path != place:
                    raise UserError(f"holds the {noun} of {document.path}", path)
                documents.append(document)
            except UserError as error:
                errors[place] = error
    return Scan(tuple(documents), errors)


def write(path: Path, document: Part) -> None:
    """Write a document, whole or not at all."""
    write_atomically(path, (_text(document.model_dump(mode="json")) + "\n").encode())


def _text(value: Any, indent: str = "") -> str:
    """JSON with a line a field and a line a list, so that a difference can be read."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    inner = indent + " "
    lines = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {_text(entry, inner)}" for key, entry in value.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
