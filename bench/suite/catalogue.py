"""Everything that a suite can name, and every setting with its default, range and description, for the terminal."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from distillbench.bench.suite.file import shipped
from distillbench.bench.suite.registry import METHODS, NETWORKS, TASKS
from distillbench.bench.suite.validation import models_of
from distillbench.common.errors import UserError, check_name
from distillbench.common.registry import Registry
from distillbench.tasks.networks.interfaces import ROLES

if TYPE_CHECKING:
    from distillbench.tasks.base import Recipe


@dataclass(frozen=True)
class SettingRow:
    """One setting, in words; its name as in a suite: 'teacher.network.width'."""

    name: str
    default: str
    range: str
    description: str


def lines(kind: str) -> dict[str, str]:
    """A line about each method, task, network, pair or suite, by its name; torch is imported for pairs alone."""
    if kind == "suites":
        return {suite: tomllib.loads(text).get("description", "") for suite, text in shipped().items()}
    if kind == "pairs":
        return {f"{task} {pair}": _networks(task, pair) for task in TASKS.names() for pair in TASKS.get(task).pairs}
    registries: dict[str, Registry[Any]] = {"tasks": TASKS, "methods": METHODS, "networks": NETWORKS}
    return {name: registries[kind].first_line(name) for name in registries[kind].names()}


def settings(model: type[BaseModel], default: BaseModel | None = None, prefix: str = "") -> Iterator[SettingRow]:
    """Every setting of a model, those of the models in it by dotted names.

    Args:
        model: of the settings.
        default: a model whose values are the defaults; otherwise those of the fields.
        prefix: goes before the names.
    """
    from distillbench.tasks.networks.base import OfKind

    for name, field in model.model_fields.items():
        if field.exclude:
            continue  # the network of a task that builds its own
        value = getattr(default, name) if default is not None else field.get_default(call_default_factory=True)
        inner = models_of(field.annotation)
        if not inner:
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                continue  # the name of a network, which stands at the network
            yield SettingRow(f"{prefix}{name}", plain(value), _range(field), field.description or "")
            continue
        if kind := next((mark for mark in field.metadata if isinstance(mark, OfKind)), None):
            about = "distillbench list networks NAME has the settings of each"
            yield SettingRow(f"{prefix}{name}.name", value.name, ", ".join(kind.names()), about)
            yield from settings(type(value), value, f"{prefix}{name}.")
            continue
        for part in inner:
            rows = settings(part, value if isinstance(value, part) else None, f"{prefix}{name}.")
            yield from rows if value is not None else (replace(row, default=plain(None)) for row in rows)


def plain(value: Any) -> str:
    """A value as a suite file has it."""
    if value is None or value is PydanticUndefined:
        return "none" if value is None else "(to be given)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range(field: FieldInfo) -> str:
    """The values that a field allows, from its type and bounds: '≥ 1, multiple of 4'."""
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
    return " → ".join(network(getattr(resolved, role)) for role in ROLES)


def network(recipe: Recipe) -> str:
    """The network of a recipe in words: 'cnn(width=32, batch_norm=true)'."""
    if recipe.network is None:
        return "built by the task"
    sizes = {key: value for key, value in recipe.network.model_dump().items() if key != "name"}
    return f"{recipe.network.name}({', '.join(f'{key}={plain(value)}' for key, value in sizes.items())})"


def _resolved(task: str, pair: str) -> Any:
    from distillbench.bench.suite.resolve import load

    (entry,) = load({"tasks": {task: {"pairs": [pair]}}}).entries
    return entry.pair.settings


def description(kind: str, name: str) -> list[Any]:
    """Everything about a method, a task, a network, a task's pairs or a suite, as parts for rich to print.

    Raises:
        UserError: nothing of this kind has this name.
    """
    from rich.text import Text

    if kind in ("suites", "all"):
        if kind == "all" and name not in shipped():
            raise UserError(f"give a kind with {name!r}", "list", allowed=sorted(shipped()), name=name)
        check_name("suite", name, shipped(), f"list {kind}")
        return [Text(shipped()[name])]
    if kind == "methods":
        from distillbench.methods.base import search_space

        METHODS.check(name)
        cls = METHODS.get(name)
        tuned = [f"{field} in {search}" for field, search in search_space(cls).items()]
        tuning = [Text(f"distillbench tune: {'; '.join(tuned)}")] if tuned else []
        return [Text(_doc(cls)), _table(list(settings(cls)), f"hyperparameters.{name}."), *tuning]
    if kind == "networks":
        architecture = NETWORKS.get(name)
        kinds = Text(f"it can be: {', '.join(kind.replace('_', '-') for kind in sorted(architecture.kinds))}")
        return [Text(_doc(architecture)), kinds, _table(list(settings(architecture)), "tasks.TASK.ROLE.network.")]
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
    """The docstring of a class, a line a paragraph."""
    paragraphs = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
    return "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _table(rows: list[SettingRow], prefix: str) -> Any:
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
