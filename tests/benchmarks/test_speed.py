"""Benchmarks (`make bench`): a training step of each task, inference of its networks, and the harness's own work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from distillbench.bench.analysis.results import summaries
from distillbench.bench.store.records import Store
from distillbench.bench.suite.registry import METHODS
from distillbench.bench.suite.resolve import load
from distillbench.bench.training.batches import IndexBatches
from distillbench.bench.training.learner import Learner, Partner
from distillbench.bench.training.loop import initial, validation_events
from distillbench.bench.training.sharing import Batch
from distillbench.methods.scratch import Scratch
from distillbench.tasks.base import Role, Task, read_only
from support.tasks import TASK_NAMES

RESULTS = Path(__file__).parents[2] / "results" / "quick"


@pytest.fixture(scope="module")
def quick_task() -> Callable[[str], Task]:
    suite = load("quick")

    def build(name: str) -> Task:
        return next(pair for pair in suite.pairs if pair.task == name).build(extractor="untrained")

    return build


def batches_of(task: Task) -> Iterator[Batch]:
    rng = torch.Generator().manual_seed(0)
    for indices in IndexBatches(task.examples("train"), task.settings.batch_size, rng):
        yield Batch(task.shared_inputs(indices, rng))


def partner_of(task: Task) -> Partner:
    recipe = task.settings.recipe("teacher")
    learner = Learner(task, initial(task, "teacher", 0).train(), recipe, task.steps("teacher"), Scratch())
    return Partner(learner, batches_of(task), seed=0, ahead=0)


@pytest.mark.parametrize("method", ["scratch", "temperature", "cross_model"])
@pytest.mark.parametrize("name", TASK_NAMES)
def test_training_step(benchmark: Any, quick_task: Callable[[str], Task], name: str, method: str) -> None:
    task, distillation = quick_task(name), METHODS.get(method)()
    teacher = read_only(initial(task, "teacher", 0))
    learner = Learner(
        task,
        initial(task, "student", 0),
        task.settings.recipe("student"),
        task.steps("student"),
        distillation,
        teacher=teacher,
        distil=distillation.prepare(lambda: validation_events(task, teacher, 0)),
        partner=partner_of(task) if distillation.teacher == "own" else None,
    )
    batches = batches_of(task)

    def step() -> None:
        batch = next(batches)
        if learner.partner is not None:
            learner.partner.advance()
            answers = learner.partner.answer(batch.whole)
        else:
            with torch.no_grad():
                answers = task.responses(task.forward(teacher, batch.whole), batch.whole, teacher)
        learner.step(batch, answers, 1, 100)

    benchmark.group = f"step: {name}"
    benchmark.pedantic(step, rounds=20, warmup_rounds=3)


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("name", TASK_NAMES)
def test_inference(benchmark: Any, quick_task: Callable[[str], Task], name: str, role: Role) -> None:
    task = quick_task(name)
    model, example = task.deployed(initial(task, role, 0)).eval(), task.example_input(1)

    @torch.inference_mode()
    def infer() -> None:
        model(example)

    benchmark.group = f"inference: {name}"
    benchmark.pedantic(infer, rounds=50, warmup_rounds=5)


def test_reading_a_record(benchmark: Any) -> None:
    path = min((RESULTS / "records").rglob("*.json"))
    benchmark.group = "harness"
    benchmark.pedantic(Store(RESULTS).read, (path,), rounds=50, warmup_rounds=5)


def test_summarising_results(benchmark: Any) -> None:
    benchmark.group = "harness"
    benchmark.pedantic(summaries, (RESULTS,), rounds=5, warmup_rounds=1)


def test_planning_a_suite(benchmark: Any) -> None:
    benchmark.group = "harness"
    benchmark.pedantic(lambda: load("quick").cells, rounds=5, warmup_rounds=1)
