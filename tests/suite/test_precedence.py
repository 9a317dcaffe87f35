"""What is set is what runs: one precedence, and nothing that has no effect."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distillbench.bench.suite.resolve import Suite, as_table, load
from distillbench.common.errors import UserError
from distillbench.tasks.base import Folders
from support.processes import Run
from support.synthetic_sets import pictures


def suite(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def rates(loaded: Suite) -> dict[str, float]:
    return {pair.pair: pair.settings.recipe("student").learning_rate for pair in loaded.pairs}


def temperatures(loaded: Suite) -> dict[str, float]:
    return {
        f"{e.pair.task}/{e.pair.pair}": e.methods["temperature"].model_dump()["temperature"] for e in loaded.entries
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(["tuned", "suite", "--set"]), st.sampled_from(["all", "task", "pair"])), unique=True
    )
)
@settings(max_examples=60)
def test_the_later_place_wins_and_in_a_place_the_more_specific(
    tmp_path_factory: Any, said: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("precedence")
    order = [(place, scope) for place in ("tuned", "suite", "--set") for scope in ("all", "task", "pair")]
    keys = {
        "all": ("hyperparameters",),
        "task": ("tasks", "super_resolution", "hyperparameters"),
        "pair": ("tasks", "super_resolution", "pair", "edsr_espcn_x2", "hyperparameters"),
    }
    values = {which: 2.0 + number for number, which in enumerate(order)}
    tables: dict[str, dict[str, Any]] = {"tuned": {}, "suite": {"tasks": {"super_resolution": {}, "gan": {}}}}
    overrides = []
    for place, scope in said:
        if place == "--set":
            key = ".".join((*keys[scope], "temperature", "temperature"))
            overrides.append(f"{key}={values[place, scope]}")
            continue
        holder = tables[place]
        for part in keys[scope]:
            holder = holder.setdefault(part, {})
        holder["temperature"] = {"temperature": values[place, scope]}
    (folder / "mine.tuned.toml").write_text(tomli_w.dumps(tables["tuned"]))
    path = suite(folder, tomli_w.dumps({"tuned": "mine.tuned.toml"} | tables["suite"]))
    found = temperatures(load(path, overrides))

    def winner(scopes: set[str]) -> float:
        return next((values[which] for which in reversed(order) if which in said and which[1] in scopes), 4.0)

    assert found["super_resolution/edsr_espcn_x2"] == winner({"all", "task", "pair"})
    assert found["super_resolution/edsr_espcn_x3"] == winner({"all", "task"})
    assert found["gan/dense_128_16"] == winner({"all"})


def test_folders_that_are_said_later_take_the_place_of_a_set_by_name(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i in range(24):
            path = tmp_path / split / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 10 * i + (split == "test"), dtype=np.uint8)).save(path)
    named: dict[str, Any] = {"tasks": {"vae": {"data": {"name": "mnist_sample"}}}}
    folders = {split: tmp_path / split for split in ("train", "test")}
    (pair,) = load(named, [f'tasks.vae.data.{split}="{path}"' for split, path in folders.items()]).pairs
    assert pair.settings.data == Folders(**folders)
    two = {"pairs": ["mlp_256_16", "own"], "pair": {"own": {"data": folders}}}
    specific = {"tasks": {"vae": named["tasks"]["vae"] | two}}
    assert [p.settings.data for p in load(specific).pairs] == [Folders(name="mnist_sample"), Folders(**folders)]
    again = load(specific, ['tasks.vae.data.name="mnist_sample"'])
    assert [p.settings.data for p in again.pairs] == 2 * [Folders(name="mnist_sample")]
    with pytest.raises(UserError, match=r"data.name: has no effect: suite: tasks.vae.pair.own.data.train take"):
        load({"tasks": {"vae": named["tasks"]["vae"] | two | {"pairs": ["own"]}}})
    named["tasks"]["vae"]["data"]["train"] = str(tmp_path / "train")
    with pytest.raises(UserError, match="name and train exclude each other"):
        load(named)


def test_other_test_images_that_are_said_later_take_the_place_of_those_before(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(monkeypatch, data_root, "bsds500", train=3, validation=2, test=2)
    pictures(monkeypatch, data_root, "set12", test=2)
    folder = data_root / "set12"
    suite = {"tasks": {"denoising": {"data": {"name": "bsds500", "test_name": "set12"}}}}
    (pair,) = load(suite, [f'tasks.denoising.data.test="{folder}"']).pairs
    assert pair.settings.data == Folders(name="bsds500", test=folder)
    suite["tasks"]["denoising"]["data"] = {"name": "bsds500", "test": str(folder)}
    (pair,) = load(suite, ['tasks.denoising.data.test_name="set12"']).pairs
    assert pair.settings.data == Folders(name="bsds500", test_name="set12")


def test_a_hyperparameter_on_the_command_line_wins_over_every_table_of_the_suite() -> None:
    plain = temperatures(load("quick"))
    assert set(temperatures(load("quick", ["hyperparameters.temperature.temperature=7"])).values()) == {7.0}
    assert plain == temperatures(load("quick"))


def test_steps_of_one_task_win_over_those_of_the_whole_suite() -> None:
    steps = {p.task: p.settings.recipe("student").steps for p in load("smoke", ["tasks.gan.steps=200"]).pairs}
    assert steps["gan"] == 200
    assert {count for task, count in steps.items() if task != "gan"} == {3}
    teachers = {p.settings.recipe("teacher").steps for p in load("quick", ["steps=4"]).pairs}
    assert teachers == {4}, "and those of the command line win over the teachers' own"


def test_a_pair_that_ships_wins_over_the_defaults_and_the_suite_over_it() -> None:
    def scales(*overrides: str) -> dict[str, int]:
        loaded = load({"methods": ["scratch"], "tasks": {"super_resolution": {}}}, overrides)
        return {p.pair: p.settings.model_dump()["scale"] for p in loaded.pairs}

    assert scales() == {"edsr_espcn_x2": 2, "edsr_espcn_x3": 3}
    assert scales("tasks.super_resolution.pair.edsr_espcn_x3.scale=4") == {"edsr_espcn_x2": 2, "edsr_espcn_x3": 4}
    assert scales("tasks.super_resolution.scale=4") == {"edsr_espcn_x2": 4, "edsr_espcn_x3": 4}


WITHOUT_EFFECT = {
    "method that is not run": (
        {
            "methods": ["scratch", "mimic"],
            "tasks": {"gan": {}},
            "hyperparameters": {"temperature": {"temperature": 2.0}},
        },
        "suite: hyperparameters.temperature.temperature: has no effect: method 'temperature' is not run "
        "(methods: scratch, mimic)",
    ),
    "hyperparameter that every task sets anew": (
        {
            "tasks": {"gan": {"hyperparameters": {"mimic": {"weight": 2.0}}}},
            "hyperparameters": {"mimic": {"weight": 3.0}},
        },
        "suite: hyperparameters.mimic.weight: has no effect: suite: tasks.gan.hyperparameters.mimic.weight take",
    ),
    "steps that every task sets anew": (
        {"tasks": {"gan": {"steps": 5, "teacher": {"steps": 5}, "student": {"steps": 5}}}, "steps": 3},
        "suite: steps: has no effect: suite: tasks.gan.steps",
    ),
    "steps where both networks have their own": (
        {"tasks": {"gan": {"steps": 5, "teacher": {"steps": 5}, "student": {"steps": 5}}}},
        "suite: tasks.gan.steps: has no effect: teacher.steps and student.steps are set",
    ),
    "pair that is not run": (
        {"tasks": {"super_resolution": {"pairs": ["edsr_espcn_x2"], "pair": {"edsr_espcn_x3": {"patch": 8}}}}},
        "suite: tasks.super_resolution.pair.edsr_espcn_x3.patch: has no effect: pair 'edsr_espcn_x3' is not run "
        "(pairs: edsr_espcn_x2)",
    ),
    "size of a network that is replaced": (
        {
            "tasks": {
                "classification": {
                    "student": {"network": {"hidden": [3]}},
                    "pair": {"cnn_mlp": {"student": {"network": {"name": "cnn"}}}},
                }
            }
        },
        "suite: tasks.classification.student.network.hidden: has no effect: its network is replaced by another",
    ),
}


@pytest.mark.parametrize("case", WITHOUT_EFFECT)
def test_a_setting_of_a_suite_without_effect_is_refused_with_the_reason(case: str) -> None:
    table, expected = WITHOUT_EFFECT[case]
    with pytest.raises(UserError) as error:
        load(table)
    assert str(error.value).startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"overrides": ["tasks.gan.samples=300"], "tasks": ["vae"]}, "task 'gan' is not run (tasks: vae)"),
        (
            {"overrides": ["hyperparameters.mimic.weight=2"], "methods": ["scratch"]},
            "method 'mimic' is not run (methods: scratch)",
        ),
        (
            {
                "overrides": ["hyperparameters.mimic.weight=2", "tasks.vae.hyperparameters.mimic.weight=3"],
                "tasks": ["vae"],
            },
            "--set: tasks.vae.hyperparameters.mimic.weight take its place",
        ),
    ],
)
def test_a_setting_of_the_command_line_without_effect_is_refused(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match="has no effect") as error:
        load("quick", **arguments)
    assert str(error.value).startswith("--set: ")
    assert expected in str(error.value)


def test_an_empty_table_says_nothing() -> None:
    for table in ({"student": {}}, {"teacher": {"network": {}}}, {"hyperparameters": {"mimic": {}}}, {"data": {}}):
        assert load({"tasks": {"gan": table}}).pairs == load({"tasks": {"gan": {}}}).pairs


def test_what_equals_the_default_is_no_mistake() -> None:
    load({"tasks": {"gan": {"steps": 600}}, "hyperparameters": {"mimic": {"weight": 1.0}}})


def test_what_the_command_line_leaves_out_is_no_mistake_of_the_suite() -> None:
    """The quick suite has hyperparameters for tasks and methods that are not run here."""
    assert len(load("quick", tasks=["gan"], methods=["scratch"], seeds=[7]).entries) == 1


def test_the_command_line_makes_no_new_pair_and_no_new_task() -> None:
    with pytest.raises(UserError, match="unknown pair 'dense_128_61'; did you mean 'dense_128_16'"):
        load("quick", ["tasks.gan.pair.dense_128_61.samples=300"])
    with pytest.raises(UserError, match="the suite has no task 'vae'"):
        load({"tasks": {"gan": {}}}, ["tasks.vae.samples=300"])


FOUR = {"tasks": {"super_resolution": {"pairs": ["edsr_espcn_x2", "x4"], "pair": {"x4": {"scale": 4}}}}}
SCALE, NAMED = "tasks.super_resolution.pair.x4.scale=4", 'tasks.super_resolution.pairs=["edsr_espcn_x2", "x4"]'


@pytest.mark.parametrize(
    ("table", "overrides"),
    [
        ({}, [SCALE, NAMED]),
        ({"pairs": ["edsr_espcn_x2", "x4"]}, [SCALE]),
        ({"pair": {"x4": {"scale": 4}}}, [NAMED]),
    ],
)
def test_the_command_line_makes_a_pair_as_a_file_does_whoever_names_it(
    table: dict[str, Any], overrides: list[str]
) -> None:
    made = load({"tasks": {"super_resolution": table}}, overrides).pairs
    assert made == load(FOUR).pairs
    assert [pair.pair for pair in made] == ["edsr_espcn_x2", "x4"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["tasks.super_resolution.pair.edsr_espcn_x22.scale=4"],
        ["tasks.super_resolution.pair.edsr_espcn_x22.scale=4", 'tasks.super_resolution.pairs=["edsr_espcn_x2"]'],
        ['tasks.super_resolution.pairs=["edsr_espcn_x22"]'],
        ["tasks.super_resolution.pair.edsr_espcn_x22.hyperparameters.mimic.weight=2"],
    ],
)
def test_a_slip_in_the_name_of_a_pair_makes_none(overrides: list[str]) -> None:
    with pytest.raises(UserError, match="unknown pair 'edsr_espcn_x22'; did you mean 'edsr_espcn_x2'"):
        load({"tasks": {"super_resolution": {}}}, overrides)


def test_chosen_values_make_no_pair(tmp_path: Path) -> None:
    (tmp_path / "mine.tuned.toml").write_text("[tasks.super_resolution.pair.x4]\nscale = 4\n")
    (tmp_path / "mine.toml").write_text('tuned = "mine.tuned.toml"\n[tasks.super_resolution]\n')
    with pytest.raises(UserError, match="unknown pair 'x4'"):
        load(tmp_path / "mine.toml", [NAMED])


def test_methods_and_seeds_of_the_command_line_take_the_place_of_the_suites() -> None:
    loaded = load("quick", methods=["scratch", "temperature"], seeds=[3, 9], tasks=["vae"])
    students = [(cell.label, cell.seed) for cell in loaded.cells if cell.kind == "student"]
    assert students == [("scratch", 3), ("temperature", 3), ("scratch", 9), ("temperature", 9)]
    with pytest.raises(UserError, match="--methods: methods: unknown method 'temprature'; did you mean 'temperature'"):
        load("quick", methods=["temprature"])


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("quick", []),
        ("smoke", []),
        ("quick", ["tasks.classification.teacher.steps=none", "tasks.classification.student.network.name=cnn"]),
        (
            "quick",
            [
                "tasks.vae.hyperparameters.temperature.weight=1",
                "tasks.vae.hyperparameters.temperature.alpha=0.5",
                "tasks.vae.steps=9",
            ],
        ),
        ("smoke", ['teachers="per-seed"', "tasks.gan.teacher.steps=5", "tasks.gan.student.steps=6"]),
    ],
)
def test_the_resolved_suite_runs_the_same(name: str, overrides: list[str], cli: Run, tmp_path: Path) -> None:
    loaded = load(name, overrides)
    text = tomli_w.dumps(as_table(loaded))
    again = load(suite(tmp_path, text))
    assert [cell.hash for cell in again.cells] == [cell.hash for cell in loaded.cells]
    assert as_table(again) == as_table(loaded)
    assert again.name == name


def test_config_prints_the_resolved_suite(cli: Run) -> None:
    done = cli("config", "smoke", "--task", "vae", "--seeds", "0-2,5", "--set", "tasks.vae.latent=4")
    assert done.returncode == 0, done.stderr
    table = tomllib.loads(done.stdout)
    assert table["seeds"] == [0, 1, 2, 5]
    assert list(table["tasks"]) == ["vae"]
    assert table["tasks"]["vae"]["pair"]["mlp_256_16"]["latent"] == 4
    assert "seeds = [0, 1, 2, 5]" in done.stdout


def test_no_value_can_be_said_in_a_file(tmp_path: Path) -> None:
    (pair,) = load(suite(tmp_path, '[tasks.classification]\nteacher = { steps = "none" }\n')).pairs
    assert pair.settings.model_dump()["teacher"]["steps"] is None
    assert pair.settings.recipe("teacher").steps == pair.settings.steps == 500


@pytest.mark.parametrize("suite_name", ["quick", "smoke"])
def test_what_the_command_line_sets_is_what_runs(cli: Run, suite_name: str) -> None:
    sets = ("--set", "hyperparameters.temperature.temperature=8", "--set", "tasks.gan.steps=200")
    done = cli("config", suite_name, *sets)
    assert done.returncode == 0, done.stderr
    tasks = tomllib.loads(done.stdout)["tasks"]
    tables = [pair["hyperparameters"] for task in tasks.values() for pair in task["pair"].values()]
    assert len(tables) == len(load(suite_name).pairs)
    assert {table["temperature"]["temperature"] for table in tables} == {8.0}
    assert tasks["gan"]["pair"]["dense_128_16"]["steps"] == 200
    assert "steps" not in tasks["gan"]["pair"]["dense_128_16"]["student"], "it takes the task's"


def test_what_has_no_effect_is_refused_by_the_command_in_one_line(cli: Run, tmp_path: Path) -> None:
    for command in ("run", "plan", "config"):
        arguments = ["smoke", "--task", "vae", "--set", "tasks.gan.steps=200"]
        done = cli(command, *arguments, *([] if command == "config" else ["--out", tmp_path / "out"]))
        assert done.returncode == 2
        expected = "distillbench: --set: tasks.gan.steps: has no effect: task 'gan' is not run (tasks: vae)\n"
        assert done.stderr == expected
    assert not (tmp_path / "out").exists()
