"""Records with training curves written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distillbench.bench.store.records import Record, Training, TrainingCurve
from support.records import record

Values = Sequence[float | None]


def curve(validation: Values, seconds: float = 1.0, steps: int = 10) -> TrainingCurve:
    """A curve with a point every so many seconds and steps."""
    count = len(validation)
    return TrainingCurve(
        steps=tuple(steps * (i + 1) for i in range(count)),
        loss=(1.0,) * count,
        validation=tuple(validation),
        seconds=tuple(seconds * (i + 1) for i in range(count)),
    )


def training(validation: Values, seconds: float = 1.0) -> Training:
    """A training with such a curve."""
    points = curve(validation, seconds)
    return Training(
        steps=points.steps[-1], seconds=points.seconds[-1], images_per_second=1.0, final_loss=1.0,
        final_distillation=0.0, curve=points,
    )  # fmt: skip


def trained(
    label: str, seed: int, validation: Values, seconds: float = 1.0, value: float = 80.0, **more: Any
) -> Record:
    """A student's record of such a training. value: its accuracy, without the seed's."""
    more = {"control": label.startswith("scratch")} | more
    return record("student", label, seed, value + seed, training=training(validation, seconds), **more)
