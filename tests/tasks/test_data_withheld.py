"""What a teacher may learn from beyond its students' ground truth."""

from __future__ import annotations

import pytest

from distillbench.bench.suite.resolve import load
from distillbench.bench.training.loop import initial, train_teacher
from distillbench.common.errors import DataError
from distillbench.tasks.base import Split, Task

FEW = {"denoising": "originals=2", "super_resolution": "originals=2", "classification": "labels=20", "gan": "images=50"}


def task_of(name: str, *settings: str) -> Task:
    return load("smoke", [f"tasks.{name}.{setting}" for setting in settings], [name]).pairs[0].build()


def names(task: Task, split: Split) -> set[str]:
    part = getattr(task.splits, split)
    return set() if part is None else set(part.names)


@pytest.mark.parametrize("name", FEW)
def test_a_teacher_from_elsewhere_learns_from_all_and_its_students_from_their_own(name: str) -> None:
    whole, few = task_of(name), task_of(name, FEW[name], 'teacher_data="all"')
    if name == "classification":
        whole = task_of(name, f"labels={few.examples('train') + few.examples('withheld')}")
    assert few.training_splits("student") == ("train",)
    assert few.training_splits("teacher") == ("train", "withheld")
    assert not names(few, "train") & names(few, "withheld")
    assert names(few, "train") | names(few, "withheld") == names(whole, "train")


@pytest.mark.parametrize("name", FEW)
def test_a_teacher_learns_from_its_students_ground_truth_where_nothing_is_said(name: str) -> None:
    few = task_of(name, FEW[name])
    assert few.training_splits("teacher") == ("train",)
    assert few.splits.withheld is None


def test_what_is_withheld_has_its_ground_truth_and_reaches_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("denoising", FEW["denoising"], 'teacher_data="all"', 'transfer="rest"', "teacher.steps=3")
    assert names(task, "withheld") == names(task, "transfer")
    seen: list[Split] = []
    original = task.shared_inputs

    def noted(indices, rng, augment=False, split="train"):  # type: ignore[no-untyped-def]
        seen.extend([split] * len(indices))
        return original(indices, rng, augment, split)

    monkeypatch.setattr(task, "shared_inputs", noted)
    trained = train_teacher(task, 0)
    assert trained.failure is None
    assert set(seen) == {"train", "withheld"}
    assert len(seen) == 3 * task.settings.batch_size
    assert type(trained.model) is type(initial(task, "teacher", 0))


def test_withholding_nothing_is_refused() -> None:
    with pytest.raises(DataError, match=r"^teacher_data: no training image is left for it: originals takes all"):
        _ = task_of("denoising", 'teacher_data="all"').splits
