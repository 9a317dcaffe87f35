"""The network of a finished record again: its pair, its weights, and what evaluation gives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distillbench.bench.measure.evaluation_inputs import evaluation_inputs
from distillbench.bench.store.configurations import ABSENT, flat, plain
from distillbench.bench.store.fingerprint import without_digests
from distillbench.bench.store.records import Record
from distillbench.bench.store.weights import digest, load_weights, teacher_path, usable
from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.registry import NETWORKS, TASKS
from distillbench.bench.suite.validation import place_in, validate
from distillbench.bench.training.loop import initial
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role, Task, read_only
from distillbench.tasks.data.files import DataError
from distillbench.tasks.data.sets import settings_of

FILES = frozenset({"weights", "file"})
"""Settings of recipes and networks that are files."""
OTHER_SIZE = (32, 48)
"""Of parts of the test images, where these are larger: multiples of 16."""


@dataclass(frozen=True)
class Deployed:
    """model: what is deployed, with the record's weights, on the CPU. inputs: batches of real test inputs for it.

    whole: what the task evaluates, of which ``model`` is a part; a student's other parts are not kept, these are new.
    """

    record: Record
    pair: Pair
    task: Task
    whole: nn.Module
    model: nn.Module
    inputs: tuple[Tensor, ...]


def pair_of(record: Record, locations: Mapping[str, Any] | None = None) -> Pair:
    """The pair of a student's or teacher's record, from its configuration.

    locations: settings that say where the data lie, which no record does. Raises UserError where this code or these
    data are not those of the record: what is built from its settings would be something else.
    """
    config, teachers = record.config, record.kind == "teacher"
    cls = TASKS.get(record.task)
    given, its_settings = locations or {}, config.get("settings")
    untold = dict(_untold(its_settings))
    there = flat(given) if given else {}
    if extra := [field for field in there if field not in untold and field.split(".")[0] not in cls.Settings.locations]:
        allowed = [*sorted(cls.Settings.locations), *untold]
        raise UserError("says not where data lie", f"--set {extra[0]}", allowed=allowed)
    for field, why in untold.items():
        if field not in there:
            raise UserError(f"{why}: say it again with --set {field}=…", field=f"config.settings.{field}")
    its_own = {**without_digests(its_settings), "data": settings_of(config.get("data"))}
    settings = validate(cls.Settings, _over(its_own, given), place_in("config.settings"))
    pair = Pair(record.task, record.pair, settings, str(config.get("device", "cpu")))
    try:
        here = flat(pair.config)
    except DataError as error:
        raise error.within("" if its_own["data"] else "--set") from error
    made = flat({key: config.get(key) for key in pair.config})
    for field in sorted(made.keys() | here.keys(), key=lambda field: (field != "code", field)):
        its, ours = made.get(field, ABSENT), here.get(field, ABSENT)
        if its == ours or (teachers and field.startswith("settings.student.")):
            continue
        last = field.rpartition(".")[2]
        what = "another code" if last == "code" else "other data" if field.split(".")[0] == "data" else "other settings"
        hint = "; --set data.train=DIR and its like say where they lie" if what == "other data" else ""
        raise UserError(f"made with {what}: {field} is {plain(its)}, here {plain(ours)}{hint}")
    return pair


def _untold(settings: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings that no record is believed in: where files lie, and which code of others makes networks.

    Whoever opens a record from elsewhere would else run what it names.
    """
    if not isinstance(settings, Mapping):
        return
    name = settings.get("name")
    runs = NETWORKS.get(name).runs if isinstance(name, str) and name in NETWORKS.names() else ()
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _untold(value, f"{prefix}{key}.")
        elif key in runs:
            yield f"{prefix}{key}", f"{plain(value)!r} would be imported and run"
        elif key in FILES and value is not None:
            yield f"{prefix}{key}", "no record says where a file lies"


def _over(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Tables in tables, with what is given in the place of what is there."""
    result = dict(settings)
    for key, value in given.items():
        inner = result.get(key)
        result[key] = _over(inner, value) if isinstance(value, Mapping) and isinstance(inner, Mapping) else value
    return result


def load(path: Path, record: Record, cache: Path | None = None, locations: Mapping[str, Any] | None = None) -> Deployed:
    """The network of a record that lies at ``path``. cache: where teachers are kept; default: in the results folder.

    Raises UserError for a record that has no network, and for weights that are not there, damaged, or not its own.
    """
    try:
        if record.kind == "baseline":
            raise UserError("is a baseline: no network made it")
        if record.failure is not None:
            raise UserError(f"the cell failed, there is no network ({record.failure.reason})")
        if record.trial is not None:
            raise UserError("is a trial of tuning: its weights are not kept")
        pair = pair_of(record, locations)
        if record.kind == "teacher" and record.weights_sha256 is None:
            raise UserError("its network is a file already, and has no weights here")
    except UserError as error:
        raise error.within(path) from error
    results = results_of(path, record)
    cache = cache or results / "cache"
    role: Role = "teacher" if record.kind == "teacher" else "student"
    try:
        extractor = pair.extractor_hash is not None and usable(pair.extractor_path(cache), pair.extractor_hash)
        task = pair.build(cache, "trained" if extractor else "none", device="cpu")
        model = initial(task, role, 0)
        _load(model if role == "teacher" else task.deployed(model), weights_of(path, record, cache), record)
        whole = role == "teacher" or task.deployed(model) is model
        if whole and digest(model) != record.weights_sha256:
            raise UserError(f"are not the weights that {path} is of", weights_of(path, record, cache))
        read_only(model)
        return Deployed(record, pair, task, model, task.deployed(model), inputs_of(task, model))
    except DataError as error:
        raise error.within(path) from error


def results_of(path: Path, record: Record) -> Path:
    """The results folder that a record lies in."""
    whole, place = path.resolve(), record.path
    if whole.parts[-len(place.parts) :] != place.parts:
        raise UserError(f"lies in no results folder, where its place is {place}: its weights cannot be found", path)
    return whole.parents[len(place.parts) - 1]


def weights_of(path: Path, record: Record, cache: Path) -> Path:
    """Where a record's weights lie: a student's beside it, a teacher's in the cache, under its hash."""
    if record.kind == "teacher":
        return teacher_path(cache, record.config_hash)
    return results_of(path, record) / record.weights_path


def _load(model: nn.Module, path: Path, record: Record) -> None:
    if not path.exists():
        where = " (--cache says where teachers are kept)" if record.kind == "teacher" else ""
        raise UserError(f"no weights are there{where}", path)
    load_weights(path, model, record.config_hash)


def inputs_of(task: Task, model: nn.Module) -> tuple[Tensor, ...]:
    """What evaluation on the test split gives to what is deployed, a batch each; and some of it in another size."""
    batches = evaluation_inputs(task, model, "test")
    return (*batches, *_other_sizes(task.deployed(model), batches))


@torch.no_grad()
def _other_sizes(model: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """One item, for the batch may have any length; a batch of small parts, where the network takes them."""
    others = [batches[0][:1]]
    height, width = OTHER_SIZE
    if parts := [
        b[:1, :, :height, :width] for b in batches if b.ndim == 4 and b.shape[2] > height and b.shape[3] > width
    ]:
        small = torch.cat(parts)
        try:
            model(small)
        except Exception:  # whatever a network says to a size that it cannot take
            return others
        others.append(small)
    return others
