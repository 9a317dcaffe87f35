"""Validation of plain data by pydantic models, with errors that name the place and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from distillbench.common.errors import UserError
from distillbench.tasks.networks.registry import NETWORKS

M = TypeVar("M", bound=BaseModel)
Place = Callable[[Sequence[str]], tuple[str, str]]
"""Who set a field, and its name there: ('student', 'steps') -> ('mine.toml', 'tasks.gan.student.steps')."""
OWN_ERRORS = frozenset({"value_error", "network", "nesterov"})
"""Types of this project's own errors, whose messages have the value in them."""
NOT_A_TABLE = frozenset({"model_type", "dict_type", "model_attributes_type"})
"""Types of pydantic's errors about a value that is not a table, whose messages have words of Python."""


def validate(model: type[M], values: Mapping[str, Any], place: Place) -> M:
    """Validate values.

    Args:
        model: what they must be.
        values: tables in tables.
        place: names a field, for messages.

    Raises:
        UserError: about the first value that does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explained(error, model, place, values) from error


def place_in(source: str) -> Place:
    """Names fields by themselves, in one source."""
    return lambda path: (source, ".".join(path))


def _explained(error: ValidationError, model: type[BaseModel], place: Place, values: Mapping[str, Any]) -> UserError:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden" and (holder := _model_at(model, path[:-1], values)) is not None:
        return UserError("unknown key", *place(path), allowed=sorted(holder.model_fields), name=path[-1])
    if first["type"] == "missing":
        return UserError("missing", *place(path))
    message = "input should be a table" if first["type"] in NOT_A_TABLE else first["msg"].removeprefix("Value error, ")
    value = "" if first["type"] in OWN_ERRORS else f", not {str(first['input'])[:60]!r}"
    return UserError(f"{message[0].lower()}{message[1:]}{value}", *place(path))


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that the annotation of a field allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, dict, tuple):
        return [model for part in get_args(annotation) for model in models_of(part)]
    return []


def _model_at(model: type[BaseModel], path: Sequence[str], values: Any) -> type[BaseModel] | None:
    """The model at a path in these values; None where there is not a model."""
    current: type[BaseModel] | None = model
    for part in path:
        values = values.get(part) if isinstance(values, Mapping) else None
        if current is None or part not in current.model_fields:
            continue  # a key of a dict, an index of a tuple
        current = next(iter(models_of(current.model_fields[part].annotation)), None)
        name = values.get("name") if isinstance(values, Mapping) else None
        if current is not None and current.__name__ == "Network" and name in NETWORKS.names():
            current = NETWORKS.get(str(name))
    return current
