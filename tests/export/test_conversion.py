"""Finished students converted for deployment: what is measured of an ONNX file is what it puts out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from distillbench.bench.export import conversion
from distillbench.bench.export.trained_network import TrainedNetwork, inputs_of
from distillbench.bench.measure.onnx_export import export
from distillbench.bench.training.loop import initial
from distillbench.tasks.base import Task, read_only
from distillbench.tasks.metrics.distributions import DISTANCES

TaskOf = Callable[[str], Task]


@pytest.mark.parametrize(
    ("name", "looking"),
    [
        ("gan", {*(name for name in DISTANCES if name.startswith("classifier")), "teacher_psnr"}),
        ("vae", {"reconstruction_psnr", "teacher_psnr"}),
    ],
)
def test_what_the_onnx_file_puts_out_is_what_is_judged_though_the_student_was_judged_before(
    name: str, looking: set[str], task_of: TaskOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A float32 file is as good as the student."""
    task = task_of(name)
    whole, teacher = (read_only(initial(task, role, 0)) for role in ("student", "teacher"))
    monkeypatch.setattr(conversion, "_teacher", lambda *_: teacher)
    known = task.evaluate(whole, teacher)
    record = SimpleNamespace(
        metrics={metric: SimpleNamespace(value=value) for metric, value in known.metrics.items()},
        example_names=tuple(next(iter(known.examples.values()), {})),
    )
    model = task.deployed(whole)
    content = export(model, task.example_input(1), inputs_of(task, whole)).content
    found = conversion._quality(TrainedNetwork(record, None, task, whole, model, ()), content, Path())
    assert found.metrics.keys() == looking
    for metric, value in found.metrics.items():
        assert value == pytest.approx(known.metrics[metric], rel=1e-3)
    assert task.evaluate(whole, teacher) == known, "nothing is kept of what stood in the student's place"
