"""What there is to name in a suite, and what can be set: every setting with its default, range and description."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bench.registry import METHODS, TASKS
from bench.suite_file import known, shipped
from bench.validation import models_of


@dataclass(frozen=True)
class Row:
    """One setting. name: as in a suite, 'teacher.network.width'."""

    name: str
    default: str
    range: str
    description: str


def everything(kind: str) -> dict[str, str]:
    """A line each, without importing torch but for pairs."""
    if kind == "suites":
        return {suite: tomllib.loads(text).get("description", "") for suite, text in shipped().items()}
    if kind == "pairs":
        return {f"{task} {pair}": _networks(task, pair) for task in TASKS.names() for pair in TASKS.get(task).pairs}
    registry = TASKS if kind == "tasks" else METHODS
    return {name: registry.first_line(name) for name in registry.names()}


def settings(model: type[BaseModel], default: BaseModel | None = None, prefix: str = "") -> Iterator[Row]:
    """Every setting of a model, those of models in it by their dotted names."""
    for name, field in model.model_fields.items():
        value = getattr(default, name) if default is not None else field.get_default(call_default_factory=True)
        inner = models_of(field.annotation)
        if not inner or not all(issubclass(m, BaseModel) for m in inner):
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                continue  # the name of a network: said where the network is
            yield Row(f"{prefix}{name}", plain(value), _range(field), field.description or "")
            continue
        if field.discriminator:
            names = [m.model_fields[str(field.discriminator)].default for m in inner]
            its = getattr(value, str(field.discriminator), None)
            yield Row(f"{prefix}{name}.{field.discriminator}", plain(its), ", ".join(names), "kind of network")
        for each in inner:
            of_it = value if isinstance(value, each) else None
            mark = "" if len(inner) == 1 or of_it is not None else f" ({each.model_fields['name'].default})"
            for row in settings(each, of_it, f"{prefix}{name}."):
                yield Row(f"{row.name}{mark}", row.default, row.range, row.description)


def plain(value: Any) -> str:
    """A value as a suite file has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(field: FieldInfo) -> str:
    """'≥ 1, multiple of 4': from the field's type and bounds."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(map(str, get_args(annotation)))
    options = [option for option in get_args(annotation) if option is not type(None)] or [annotation]
    if bool in options:
        return "true, false"
    bounds = []
    for bound in field.metadata:
        for attribute, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"), ("multiple_of", "multiple of")):
            if (limit := getattr(bound, attribute, None)) is not None:
                bounds.append(f"{sign} {plain(limit)}")
    kinds = {int: "whole", float: "number", str: "text", Path: "path"}
    kind = next((kinds[option] for option in options if option in kinds), "")
    return ", ".join([*([kind] if kind == "whole" or not bounds else []), *bounds]).strip(", ")


def _networks(task: str, pair: str) -> str:
    resolved = _resolved(task, pair)
    return " → ".join(network(getattr(resolved, role)) for role in ("teacher", "student"))


def network(recipe: Any) -> str:
    """'cnn(width=32, batch_norm=true)', of a recipe."""
    sizes = {k: v for k, v in recipe.network.model_dump().items() if k != "name"}
    name = getattr(recipe.network, "name", type(recipe.network).__name__.lower())
    return f"{name}({', '.join(f'{key}={plain(value)}' for key, value in sizes.items())})"


def _resolved(task: str, pair: str) -> Any:
    from bench.suite import load

    (entry,) = load({"tasks": {task: {"pairs": [pair]}}}).entries
    return entry.pair.settings


def one(kind: str, name: str) -> list[Any]:
    """A method, a task, a task's pairs or a suite, for the terminal."""
    from rich.text import Text

    if kind in ("suites", "all"):
        known(shipped(), name, f"list {kind}: unknown suite" if kind == "suites" else "list: give a kind with")
        return [Text(shipped()[name])]
    if kind == "methods":
        from methods.base import search_space

        METHODS.check(name)
        cls = METHODS.get(name)
        tuned = [f"{field} in {search}" for field, search in search_space(cls).items()]
        tuning = [Text(f"distillbench tune: {'; '.join(tuned)}")] if tuned else []
        return [Text(_doc(cls)), _table(list(settings(cls)), f"hyperparameters.{name}."), *tuning]
    TASKS.check(name)
    task = TASKS.get(name)
    if kind == "tasks":
        return [Text(_doc(task)), _table(list(settings(task.Settings)), f"tasks.{name}.")]
    blocks: list[Any] = []
    default = {row.name: row for row in settings(task.Settings)}
    for pair in task.pairs:
        rows = [row for row in settings(task.Settings, _resolved(name, pair)) if "(" not in row.name]
        changed = [row for row in rows if row.name not in default or row.default != default[row.name].default]
        as_task = "" if changed else f"; its settings: distillbench list tasks {name}"
        blocks.append(Text(f"{pair}: {_networks(name, pair)}{as_task}"))
        if changed:
            blocks.append(_table(changed, f"tasks.{name}.pair.{pair}."))
    return blocks


def _doc(cls: type[Any]) -> str:
    """Its docstring, a line a paragraph: whoever shows it breaks lines."""
    paragraphs = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _table(rows: list[Row], prefix: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=f"in a suite, or with --set: {prefix}…", title_justify="left", pad_edge=False
    )
    for column in ("setting", "default", "range", "description"):
        table.add_column(column, no_wrap=column in ("setting", "default"), overflow="fold")
    for row in rows:
        table.add_row(row.name, row.default, row.range, row.description)
    return table
