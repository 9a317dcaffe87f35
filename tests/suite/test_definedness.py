"""Methods that are not defined on every pair: where they are left out, and where that is a mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from distillbench.bench.suite.registry import METHODS, TASKS
from distillbench.bench.suite.resolve import Suite, as_table, load
from distillbench.bench.training.loop import train_students
from distillbench.common.errors import UserError
from distillbench.tasks.base import Task
from support.processes import Run, refused
from support.tasks import TASK_NAMES, teachers_of

LABELS = ("label_smoothing", "hard_labels")
EQUAL = "needs a teacher with more steps than the student"


def suite_of(methods: Sequence[str], *overrides: str, tasks: Sequence[str] = TASK_NAMES, **tables: Any) -> Suite:
    return load({"methods": methods, "seeds": [0], "tasks": {task: {} for task in tasks}, **tables}, overrides)


def undefined(suite: Suite) -> dict[str, dict[str, str]]:
    return {entry.pair.task: dict(entry.undefined) for entry in suite.entries}


def test_what_needs_labels_has_cells_where_there_are_labels_alone() -> None:
    suite = suite_of(["scratch", *LABELS])
    labelled = {task for task in TASK_NAMES if TASKS.get(task).truth == "labels"}
    assert labelled == {"classification"}
    for task, reasons in undefined(suite).items():
        assert reasons == ({} if task in labelled else dict.fromkeys(LABELS, f"needs labels; {task} has none"))
    cells = {(cell.pair.task, cell.label) for cell in suite.cells if cell.kind == "student"}
    assert cells == {(task, "scratch") for task in TASK_NAMES} | {(task, name) for task in labelled for name in LABELS}


@pytest.mark.parametrize(
    ("teacher", "student", "reason"),
    [
        ({"steps": 11}, {"steps": 10}, None),
        ({"steps": 10}, {"steps": 10}, EQUAL),
        ({"epochs": 3}, {"epochs": 2}, None),
        ({"epochs": 2}, {"epochs": 3}, "needs a teacher with more epochs than the student"),
    ],
)
def test_scratch_long_needs_a_teacher_that_trains_for_longer(
    teacher: Mapping[str, int], student: Mapping[str, int], reason: str | None
) -> None:
    suite = load(
        {"methods": ["scratch", "scratch_long"], "tasks": {"classification": {"teacher": teacher, "student": student}}},
        ["seeds=[0]"],
    )
    assert suite.entries[0].undefined.get("scratch_long") == reason


def test_scratch_long_needs_a_teacher_that_is_trained_here(resnet: tuple[Any, Path]) -> None:
    teacher = {"weights": str(resnet[1]), "network": {"name": "torchvision", "model": "resnet18"}}
    suite = load(
        {"methods": ["scratch", "scratch_long"], "tasks": {"classification": {"teacher": teacher}}}, ["seeds=[0]"]
    )
    assert suite.entries[0].undefined == {"scratch_long": "needs the teacher's steps; its weights come from a file"}


# -- where nobody can run it --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "overrides", "options", "expected"),
    [
        (
            LABELS,
            (),
            {},
            "suite: methods: 'label_smoothing' is not defined here: needs labels; gan has none; needs labels;",
        ),
        (["scratch_long"], (), {"steps": 5}, f"suite: methods: 'scratch_long' is not defined here: {EQUAL}"),
    ],
)
def test_a_method_that_no_task_defines_is_refused(
    methods: Sequence[str], overrides: Sequence[str], options: Mapping[str, Any], expected: str
) -> None:
    with pytest.raises(UserError) as error:
        suite_of(["scratch", *methods], *overrides, tasks=("gan", "vae"), **options)
    assert str(error.value).startswith(expected)


def test_what_the_command_line_leaves_out_or_sets_anew_is_not_the_suites_mistake() -> None:
    table = {"methods": ["scratch", "scratch_long", *LABELS], "tasks": {"classification": {}, "gan": {}}}
    assert set(load(table, tasks=["gan"]).entries[0].methods) == {"scratch", "scratch_long"}
    assert "scratch_long" in load(table, ["steps=5"]).entries[0].undefined
    for tasks in ((), ("gan",)):
        with pytest.raises(UserError, match=r"^--methods: methods: 'scratch_long' is not defined here"):
            load(table, ["steps=5"], tasks=tasks, methods=["scratch", "scratch_long"])


@pytest.mark.parametrize("suite", ["quick", "mnist", "smoke"])
def test_each_task_of_a_suite_that_ships_runs_alone(suite: str) -> None:
    for task in load(suite, ["seeds=[0]"]).pairs:
        assert load(suite, ["seeds=[0]"], [task.task]).cells


def test_hyperparameters_of_a_method_where_it_is_not_defined_are_refused() -> None:
    settings = {"hyperparameters": {"label_smoothing": {"weight": 0.2}}}
    table = {"methods": ["scratch", "label_smoothing"], "seeds": [0], "tasks": {"classification": {}, "gan": settings}}
    expected = (
        r"tasks\.gan\.hyperparameters\.label_smoothing\.weight: has no effect: label_smoothing needs labels; gan has"
    )
    with pytest.raises(UserError, match=expected):
        load(table)
    for everywhere in (
        {**table, "tasks": {"classification": settings, "gan": {}}},
        {**table, **settings, "tasks": {"classification": {}, "gan": {}}},
    ):
        (method,) = (e.methods["label_smoothing"] for e in load(everywhere).entries if e.methods.keys() > {"scratch"})
        assert method.weight == 0.2


def test_the_resolved_table_loads_as_the_same_suite() -> None:
    suite = suite_of(["scratch", "scratch_long", *LABELS], "tasks.vae.teacher.steps=800")
    again = load(as_table(suite))
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in suite.cells]
    assert undefined(again) == undefined(suite)


def test_the_commands_refuse_in_a_line_and_run_the_rest(cli: Run, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    done = cli("plan", "smoke", "--task", "gan", "--methods", "label_smoothing", *out)
    refused(done, "--methods: methods: 'label_smoothing' is not defined here: needs labels; gan has none")
    assert cli("plan", "smoke", "--task", "gan", *out).returncode == 0


# -- what is said of needs is so ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_method_trains_where_it_is_defined(task_of: Any, name: str) -> None:
    task: Task = task_of(name)
    (entry, *_) = load("smoke", ["seeds=[0]"], [name]).entries
    assert set(entry.methods) | set(entry.undefined) == set(METHODS.names())
    trained = train_students(task, teachers_of(task), entry.methods, 0)
    assert {method: student.failure for method, student in trained.items() if student.failure} == {}
