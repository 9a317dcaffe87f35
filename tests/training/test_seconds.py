"""The seconds of a learner are those that it would take alone, whoever trains beside it: by a clock that stands still.

Time passes only where a stub says so, so that every sum is exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.suite.resolve import load
from distillbench.bench.training.curves import POINTS
from distillbench.bench.training.learner import Trained
from distillbench.bench.training.loop import initial, train_students
from distillbench.methods.base import Distillation, Method
from distillbench.methods.cross_model import CrossModel
from distillbench.methods.hard_labels import HardLabels
from distillbench.methods.scratch import Scratch
from distillbench.methods.scratch_long import ScratchLong
from distillbench.methods.temperature import Temperature
from distillbench.tasks.base import Inputs, Split, Task, read_only
from distillbench.tasks.response import Events, Responses

STEPS, TEACHER_STEPS = 6, 9
DRAW, TRANSFER, TEACHER, LOSS, EVENTS, METHOD, VALIDATION = 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e7
ALONE = DRAW + LOSS
"""Of a step on the task's own objective."""
AGREEMENT = DRAW + TRANSFER + TEACHER + LOSS
"""Of a step towards the responses of a frozen teacher."""


@dataclass
class Clock:
    """A clock that stands still between calls of ``passes``."""

    seconds: float = 0.0

    def passes(self, seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which takes so long."""

        def slow(*arguments: Any, **options: Any) -> Any:
            self.seconds += seconds
            return function(*arguments, **options)

        return slow


class SlowTeacher(nn.Module):
    def __init__(self, network: nn.Module, clock: Clock) -> None:
        super().__init__()
        self.network, self.clock = network, clock

    def forward(self, images: Tensor) -> Tensor:
        self.clock.seconds += TEACHER
        answer: Tensor = self.network(images)
        return answer


class Fitted(Method):
    """Looks at the events, and fits to them for a while."""

    clock: ClassVar[Clock]
    teacher: ClassVar[Literal["trained"]] = "trained"

    def prepare(self, events: Callable[[], Mapping[str, Events]]) -> Distillation | None:
        assert events()
        self.clock.seconds += METHOD
        return self.distillation_loss

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        return teacher["logits"].mse(student["logits"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.seconds)
    return clock


@pytest.fixture(scope="module")
def quick_task() -> Task:
    """Classification with a transfer set."""
    settings = {"steps": STEPS, "teacher": {"steps": TEACHER_STEPS}, "transfer": 64}
    (pair,) = load({"seeds": [0], "methods": ["scratch"], "tasks": {"classification": settings}}).pairs
    return pair.build()


@pytest.fixture
def task(quick_task: Task, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task in which everything takes its own time."""
    task, drawn = quick_task, quick_task.shared_inputs

    def draw(indices: Sequence[int], rng: torch.Generator, *, augment: bool, split: Split) -> Inputs:
        clock.seconds += TRANSFER if split == "transfer" else DRAW
        return drawn(indices, rng, augment, split)

    monkeypatch.setattr(task, "shared_inputs", draw)
    for name, seconds in {"loss": LOSS, "events": EVENTS, "validation_metric": VALIDATION}.items():
        monkeypatch.setattr(task, name, clock.passes(seconds, getattr(task, name)))
    return task


def trained(task: Task, clock: Clock, methods: Mapping[str, Method]) -> dict[str, Trained]:
    teacher = read_only(SlowTeacher(initial(task, "teacher", 0), clock))
    outcomes = train_students(task, {"trained": teacher}, methods, seed=0)
    assert {name: outcome.failure for name, outcome in outcomes.items()} == dict.fromkeys(methods)
    return outcomes


def test_whoever_compares_with_a_slow_teacher_has_its_time_and_scratch_beside_it_has_not(
    task: Task, clock: Clock
) -> None:
    methods = {"first": Temperature(), "scratch": Scratch(), "second": HardLabels()}
    seconds = {name: outcome.seconds for name, outcome in trained(task, clock, methods).items()}
    assert seconds == {"first": STEPS * AGREEMENT, "scratch": STEPS * ALONE, "second": STEPS * AGREEMENT}


@pytest.mark.parametrize("name", ["temperature", "scratch", "cross_model", "mutual", "fitted", "scratch_long"])
def test_seconds_are_the_same_alone_and_in_a_group(task: Task, clock: Clock, name: str) -> None:
    Fitted.clock = clock
    methods = {
        "fitted too": Fitted(weight=2.0), "temperature": Temperature(), "scratch": Scratch(), "fitted": Fitted(),
        "cross_model too": CrossModel(weight=2.0), "cross_model": CrossModel(), "mutual": CrossModel(mutual=True),
        "scratch_long": ScratchLong(),
    }  # fmt: skip
    group = trained(task, clock, methods)[name]
    alone = trained(task, clock, {name: methods[name]})[name]
    assert (group.seconds, group.curve.seconds) == (alone.seconds, alone.curve.seconds)


def test_what_a_method_fits_before_is_in_its_seconds(task: Task, clock: Clock) -> None:
    Fitted.clock = clock
    outcome = trained(task, clock, {"scratch": Scratch(), "fitted": Fitted()})["fitted"]
    events = outcome.seconds - METHOD - STEPS * AGREEMENT
    assert EVENTS <= events < 2 * EVENTS  # and the teacher's passes over the data that they are of


def test_a_teacher_that_a_method_trains_is_in_its_seconds_with_all_of_its_steps(task: Task, clock: Clock) -> None:
    outcome = trained(task, clock, {"cross_model": CrossModel(), "scratch": Scratch()})["cross_model"]
    assert outcome.seconds == STEPS * (ALONE + TRANSFER) + TEACHER_STEPS * ALONE
    assert outcome.curve.seconds[0] == (ALONE + TRANSFER) + (TEACHER_STEPS - STEPS + 1) * ALONE


def test_a_curve_has_the_seconds_until_each_point_without_those_of_the_validation_metric(
    task: Task, clock: Clock
) -> None:
    outcomes = trained(task, clock, {"scratch": Scratch(), "temperature": Temperature(), "long": ScratchLong()})
    for name, step, steps in (("scratch", ALONE, STEPS), ("temperature", AGREEMENT, STEPS), ("long", ALONE, 9)):
        curve = outcomes[name].curve
        assert len(curve.steps) == min(POINTS, steps)
        assert curve.seconds == tuple(float(f"{i * step:.4g}") for i in curve.steps)


def test_a_learner_that_waits_for_its_device_is_charged_for_its_own_work(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """CUDA works through a queue: the time is read after it is empty."""
    from distillbench.bench.training.clock import now

    monkeypatch.setattr(torch.cuda, "synchronize", clock.passes(5.0, lambda: None))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert [now(), now()] == [0.0, 0.0]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert [now(), now()] == [5.0, 10.0]
