"""Plain data against a pydantic model; what does not fit is said in one line: where it stands, and what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench.errors import UserError, did_you_mean

M = TypeVar("M", bound=BaseModel)
Place = Callable[[Sequence[str]], str]
"""Names a field for the reader: ('student', 'steps') -> 'mine.toml: tasks.gan.student.steps'."""
TABLES = frozenset({"model_type", "dict_type", "model_attributes_type"})
"""What pydantic says of something that is no table, in words of Python."""


def validate(model: type[M], values: Mapping[str, Any], place: Place) -> M:
    """The values as this model. Raises UserError for the first that does not fit."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, model, place)) from error


def place_in(source: str) -> Place:
    """Fields of one source, by their names."""
    return lambda path: f"{source}: {'.'.join(path)}"


def _explain(error: ValidationError, model: type[BaseModel], place: Place) -> str:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    holder = _model_at(model, location[:-1])
    path = [part for part in location if part not in _tags(model, location)]
    if first["type"] == "extra_forbidden" and holder is not None:
        return f"{place(path)}: unknown key{did_you_mean(location[-1], holder.model_fields)}"
    if first["type"] == "union_tag_invalid":
        context = first["ctx"]
        return f"{place([*path, 'name'])}: unknown network {context['tag']!r} (allowed: {context['expected_tags']})"
    if first["type"] == "missing":
        return f"{place(path)}: missing"
    message = "input should be a table" if first["type"] in TABLES else first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] == "value_error" else f", not {str(first['input'])[:60]!r}"
    return f"{place(path)}: {message[0].lower()}{message[1:]}{given}"


def models_of(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field's annotation allows."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, Annotated, dict, tuple):
        return [model for part in get_args(annotation) for model in models_of(part)]
    return []


def _tags(model: type[BaseModel], location: Sequence[str]) -> set[str]:
    """Parts of a pydantic location that name a member of a union, not a key."""
    tags: set[str] = set()
    for i in range(1, len(location)):
        before = location[:i]
        parent = _model_at(model, before[:-1])
        if parent is not None and (field := parent.model_fields.get(before[-1])) and field.discriminator:
            tags.add(location[i])
    return tags


def _model_at(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel] | None:
    """The model whose fields a pydantic location's last part is among."""
    current: type[BaseModel] | None = model
    candidates: list[type[BaseModel]] = []
    for part in location:
        tagged = [m for m in candidates if m.model_fields.get("name") and m.model_fields["name"].default == part]
        if tagged and len(candidates) > 1:
            current, candidates = tagged[0], []
            continue
        if current is None or part not in current.model_fields:
            continue  # a key of a dict, an index of a tuple
        candidates = models_of(current.model_fields[part].annotation)
        current = candidates[0] if candidates else None
    return current
