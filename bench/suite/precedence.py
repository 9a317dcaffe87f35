"""Which value of a setting wins, and which have no effect.

Defaults < what a pair changes < tuned values < the suite < ``--set``; in each of these places the more specific wins:
all tasks < one task < one of its pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distillbench.bench.suite.file import Hyperparameters, Layer
from distillbench.bench.suite.validation import Place
from distillbench.common.errors import UserError, at_most
from distillbench.tasks.networks.interfaces import ROLES

Path = tuple[str, ...]
NONE = "none"
"""No value, in a file: TOML has none."""
ALTERNATIVES = {"steps": "epochs", "epochs": "steps"}
"""Of a recipe: one takes the place of the other."""
SOURCES = {"train": "name", "test": "test_name", "test_name": "test"}
"""Of images (``data``): the former, said later, takes the place of the latter. A name takes all folders' place."""
NEEDS = {"weights_key": "weights"}
"""Of a recipe: the former says nothing without the latter."""
ARGUMENTS = "arguments"
"""Of somebody else's function: no word in it is one of ours."""


@dataclass(frozen=True)
class Setting:
    """A value, and where it was said. source: '' for a default. key: as written there, 'tasks.gan.steps'."""

    value: Any
    source: str
    key: str


Settings = Mapping[Path, Setting]
Matrix = Mapping[tuple[str, str], Mapping[str, Settings]]
"""By task and pair: the settings of the task under '', and the hyperparameters of each method under its name."""


def of_pair(
    defaults: Mapping[str, Any], changes: Mapping[str, Any], task: str, pair: str, layers: Sequence[Layer]
) -> Settings:
    """A task's settings with one pair. changes: what the pair that ships sets."""
    found: dict[Path, Setting] = {}
    _merge(found, _leaves(defaults, "", ""))
    _merge(found, _leaves(changes, "", ""))
    for layer in layers:
        _merge(found, [(w.path, w.setting) for w in _written(layer) if not w.method and w.reaches(task, pair)])
    return {path: setting for path, setting in found.items() if not _lacks_its_need(path, found)}


def _lacks_its_need(path: Path, settings: Settings) -> bool:
    if settings[path].value is None or path[-1] not in NEEDS or ARGUMENTS in path:
        return False
    need = settings.get((*path[:-1], NEEDS[path[-1]]))
    return need is None or need.value is None


def of_method(task: str, pair: str, method: str, layers: Sequence[Layer]) -> Settings:
    """A method's hyperparameters on one pair: those that are set."""
    found: dict[Path, Setting] = {}
    for layer in layers:
        _merge(found, [(w.path, w.setting) for w in _written(layer) if w.method == method and w.reaches(task, pair)])
    return found


@dataclass(frozen=True)
class _Written:
    """A setting that a layer has. task, pair, method: what it is for; None: all of them; method '': the task itself."""

    path: Path
    setting: Setting
    task: str | None
    pair: str | None
    method: str

    def reaches(self, task: str, pair: str) -> bool:
        return self.task in (None, task) and self.pair in (None, pair)


def _written(layer: Layer) -> Iterator[_Written]:
    """What a layer says, the more specific after the more general."""

    def of(
        table: Mapping[str, Any], prefix: str, task: str | None, pair: str | None, method: str
    ) -> Iterator[_Written]:
        for path, setting in _leaves(table, layer.source, prefix):
            yield _Written(path, setting, task, pair, method)

    def hyperparameters(tables: Hyperparameters, prefix: str, task: str | None, pair: str | None) -> Iterator[_Written]:
        for method, table in tables.items():
            yield from of(table, f"{prefix}hyperparameters.{method}.", task, pair, method)

    if layer.table.steps is not None:
        yield _Written(("steps",), Setting(layer.table.steps, layer.source, "steps"), None, None, "")
        for path in ((role, field) for role in ROLES for field in ALTERNATIVES):
            yield _Written(path, Setting(None, layer.source, "steps"), None, None, "")
    yield from hyperparameters(layer.table.hyperparameters, "", None, None)
    for task, its in layer.table.tasks.items():
        yield from of(its.settings, f"tasks.{task}.", task, None, "")
        yield from hyperparameters(its.hyperparameters, f"tasks.{task}.", task, None)
        for pair, table in its.pair.items():
            prefix = f"tasks.{task}.pair.{pair}."
            yield from of(table.settings, prefix, task, pair, "")
            yield from hyperparameters(table.hyperparameters, prefix, task, pair)


def _leaves(table: Mapping[str, Any], source: str, prefix: str) -> list[tuple[Path, Setting]]:
    """Every value, at its path; a network's name before its sizes."""
    found: list[tuple[Path, Setting]] = []
    within = prefix.split(".")
    for key, value in table.items():
        if isinstance(value, Mapping):  # an empty table says nothing
            found += [((key, *path), setting) for path, setting in _leaves(value, source, f"{prefix}{key}.")]
        else:
            none = value == NONE and ARGUMENTS not in within
            found.append(((key,), Setting(None if none else value, source, f"{prefix}{key}")))
    return sorted(found, key=lambda leaf: leaf[0][-1] != "name" or ARGUMENTS in leaf[0])


def _merge(found: dict[Path, Setting], leaves: Sequence[tuple[Path, Setting]]) -> None:
    for path, setting in leaves:
        holder = path[:-1]
        ours = ARGUMENTS not in path
        renamed = ours and path[-1] == "name" and path in found and found[path].value != setting.value
        for other in list(found):
            inside = other[: len(path)] == path or path[: len(other)] == other
            if inside or (renamed and other[: len(holder)] == holder):  # another network has sizes of its own
                del found[other]
        if ours and setting.value is not None:
            if path[-1] in ALTERNATIVES:
                found.pop((*holder, ALTERNATIVES[path[-1]]), None)
            elif holder[-1:] == ("data",) and path[-1] in SOURCES:
                earlier = (*holder, SOURCES[path[-1]])
                if earlier in found and not _in_one_table(found[earlier], setting):  # both in one: refused
                    found[earlier] = replace(setting, value=None)
        found[path] = setting


def _in_one_table(one: Setting, other: Setting) -> bool:
    return one.source == other.source and one.key.rpartition(".")[0] == other.key.rpartition(".")[0]


def nested(settings: Settings) -> dict[str, Any]:
    """As tables in tables."""
    result: dict[str, Any] = {}
    for path, setting in settings.items():
        holder = result
        for part in path[:-1]:
            holder = holder.setdefault(part, {})
        holder[path[-1]] = setting.value
    return result


def place(settings: Settings, otherwise: str) -> Place:
    """Names a field as it was written by who set it; where nobody did, it is one of ``otherwise``."""

    def name(path: Sequence[str]) -> tuple[str, str]:
        best = max(settings, key=lambda known: (_common(known, path), settings[known].source != ""), default=None)
        if best is None or not settings[best].source or (path and not _common(best, path)):
            return "", ".".join([otherwise, *path])
        setting, common = settings[best], _common(best, path)
        parts = setting.key.split(".")
        parts = parts[: len(parts) - (len(best) - common)]
        return setting.source, ".".join([*parts, *path[common:]])

    return name


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths share at their start."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


# -- settings without effect --------------------------------------------------------------------------------------


def without_effect(layer: Layer, matrix: Matrix, methods: Sequence[str]) -> UserError | None:
    """The first setting of a layer that changes nothing in the matrix, and why."""
    winners = {(s.source, s.key) for its in matrix.values() for settings in its.values() for s in settings.values()}
    for written in _written(layer):
        reason = None
        key = written.setting.key
        if (layer.source, key) not in winners:
            reason = _reason(written, matrix, methods)
        elif written.path == ("steps",) and not written.method and not _counts(layer.source, key, matrix):
            reason = "teacher.steps and student.steps are set, and these are for one that sets none"
        if reason is not None:
            return UserError(f"has no effect: {reason}", layer.source, key)
    return None


def _reason(written: _Written, matrix: Matrix, methods: Sequence[str]) -> str:
    if written.method and written.method not in methods:
        return f"method {written.method!r} is not run (methods: {', '.join(methods)})"
    tasks = list(dict.fromkeys(task for task, _ in matrix))
    if written.task is not None and written.task not in tasks:
        return f"task {written.task!r} is not run (tasks: {', '.join(tasks)})"
    pairs = [pair for task, pair in matrix if task == written.task]
    if written.pair is not None and written.pair not in pairs:
        return f"pair {written.pair!r} is not run (pairs: {', '.join(pairs)})"
    winners = [
        f"{setting.source}: {setting.key}"
        for (task, pair), its in matrix.items()
        if written.reaches(task, pair)
        for path, setting in its.get(written.method, {}).items()
        if _common(path, written.path) == min(len(path), len(written.path))
    ]
    if not winners and written.path[-1] in ALTERNATIVES:
        return f"{ALTERNATIVES[written.path[-1]]} take their place"
    if not winners and written.path[-1] in NEEDS:
        return f"there are no {NEEDS[written.path[-1]]} beside it"
    if not winners:
        return "its images come from elsewhere" if "data" in written.path else "its network is replaced by another"
    return f"{' and '.join(at_most(2, list(dict.fromkeys(winners))))} take its place"


def _counts(source: str, key: str, matrix: Matrix) -> bool:
    """Whether a number of steps reaches a network: each of the two may have its own."""
    for its in matrix.values():
        settings = its[""]
        if any(
            (s.source, s.key) == (source, key) and path != ("steps",) for path, s in settings.items()
        ):  # of a suite's steps also that it takes away the networks' own
            return True
        its_own = [[settings.get((role, field)) for field in ALTERNATIVES] for role in ROLES]
        mine = (settings[("steps",)].source, settings[("steps",)].key) == (source, key)
        if mine and any(all(one is None or one.value is None for one in own) for own in its_own):
            return True
    return False
