"""Suite files that are wrong in many ways: one line that names the file, the field and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError

GOOD = "[tasks.classification]\n"
WRONG = {
    "not TOML": ("seeds = [", "is not valid TOML"),
    "unknown key": ("sedes = [1]\n" + GOOD, "sedes: unknown key; did you mean 'seeds'?"),
    "no task": ("seeds = [1]\n", "tasks: missing"),
    "empty tasks": ("[tasks]\n", "tasks: dictionary should have at least 1 item"),
    "unknown task": ("[tasks.clasification]\n", "unknown task 'clasification'; did you mean 'classification'?"),
    "unknown method": ('methods = ["scratsh"]\n' + GOOD, "unknown method 'scratsh'; did you mean 'scratch'?"),
    "method twice": ('methods = ["mimic", "mimic"]\n' + GOOD, "methods: has an entry twice"),
    "seed twice": ("seeds = [1, 1]\n" + GOOD, "seeds: has an entry twice"),
    "no seeds": ("seeds = []\n" + GOOD, "seeds: tuple should have at least 1 item"),
    "negative seed": ("seeds = [-1]\n" + GOOD, "seeds.0: input should be greater than or equal to 0"),
    "seeds no list": ("seeds = 3\n" + GOOD, "seeds: input should be a valid tuple"),
    "no steps": ("steps = 0\n" + GOOD, "steps: input should be greater than or equal to 1"),
    "unknown device": ('device = "gpu"\n' + GOOD, "device: "),
    "unknown teachers": ('teachers = "each"\n' + GOOD, "teachers: input should be 'shared' or 'per-seed'"),
    "unknown setting": (GOOD + "lables = 3\n", "tasks.classification.lables: unknown key; did you mean 'labels'?"),
    "setting out of range": (GOOD + "labels = 0\n", "tasks.classification.labels: input should be greater"),
    "setting of another type": (GOOD + 'labels = "many"\n', "tasks.classification.labels: input should be a valid int"),
    "an old name": (
        GOOD + 'data = { held_out = "x" }\n',
        "tasks.classification.data.held_out: unknown key; it is called 'validation' now",
    ),
    "unknown network": (
        GOOD + 'student = { network = { name = "mpl" } }\n',
        "tasks.classification.student.network.name: unknown network 'mpl'; did you mean 'mlp'? (allowed: ",
    ),
    "unknown size": (
        GOOD + "student = { network = { hiden = [3] } }\n",
        "tasks.classification.student.network.hiden: unknown key; did you mean 'hidden'?",
    ),
    "unknown pair": (GOOD + 'pairs = ["cnn"]\n', "tasks.classification.pairs: unknown pair 'cnn'"),
    "pair that leaves the folder": (GOOD + 'pairs = ["../x"]\n', "pairs.0: string should match pattern"),
    "hyperparameter of no method": ("[hyperparameters.heat]\nT = 1\n" + GOOD, "hyperparameters: unknown method 'heat'"),
    "unknown hyperparameter": (
        "[hyperparameters.temperature]\ntemprature = 2\n" + GOOD,
        "hyperparameters.temperature.temprature: unknown key; did you mean 'temperature'?",
    ),
    "temperature of zero": (
        "[hyperparameters.temperature]\ntemperature = 0\n" + GOOD,
        "hyperparameters.temperature.temperature: input should be greater than 0",
    ),
    "not finite": (
        "[hyperparameters.mimic]\nweight = inf\n" + GOOD,
        "hyperparameters.mimic.weight: input should be a finite",
    ),
    "no such data": (GOOD + 'data = { train = "/nowhere" }\n', "tasks.classification.data: /nowhere is not a folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_suite_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    text, expected = WRONG[case]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        load(str(path))
    message = str(error.value)
    assert message.startswith(str(path))
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tasks.classification", "must be KEY=VALUE"),
        ("tasks.classification.steps=many", "unable to parse string as an integer"),
        ("tasks.gan=1", "--set: tasks.gan: input should be a table, not '1'"),
        ("tasks.gan.student=1", "--set: tasks.gan.student: input should be a table, not '1'"),
        ("hyperparameters.mimic=1", "--set: hyperparameters.mimic: input should be a table, not '1'"),
        ("seeds.x=1", "--set: seeds: input should be a valid tuple"),
        ("tasks.klassification.steps=1", "unknown task 'klassification'"),
    ],
)
def test_a_wrong_override_is_refused(override: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        load("quick", [override])


@pytest.mark.parametrize("file", ["suite", "tuned file"])
def test_a_byte_order_mark_is_no_part_of_a_text(file: str, tmp_path: Path) -> None:
    """As editors of Windows write it."""
    texts = {
        "mine.toml": 'tuned = "mine.tuned.toml"\n' + GOOD,
        "mine.tuned.toml": "[hyperparameters.mimic]\nweight = 2\n",
    }
    marked = {"suite": "mine.toml", "tuned file": "mine.tuned.toml"}[file]
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8-sig" if name == marked else "utf-8")
    assert load(tmp_path / "mine.toml").entries[0].methods["mimic"].model_dump()["weight"] == 2


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my suite.toml", "my-suite"),
        ("größe (2).toml", "gro-e-2"),
        ("Prüfung.toml", "Prufung"),
        (".hidden.toml", "hidden"),
        ("試験.toml", "suite"),
        (f"{'x' * 90}.toml", "x" * 64),
        ("usual_1.2-3.toml", "usual_1.2-3"),
    ],
)
def test_a_suite_is_named_after_its_file_whatever_that_is_called(file: str, name: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(GOOD)
    assert load(tmp_path / file).name == name
    (tmp_path / file).write_text('name = "own"\n' + GOOD)
    assert load(tmp_path / file).name == "own"


def test_an_unknown_suite_is_guessed() -> None:
    with pytest.raises(UserError, match="no suite 'quik'; did you mean 'quick'"):
        load("quik")


def test_the_quick_suite_is_the_whole_matrix() -> None:
    suite = load("quick")
    members = suite.cells
    students = {(cell.pair, cell.label, cell.seed) for cell in members if cell.kind == "student"}
    undefined = {
        (entry.pair, name, seed) for entry in suite.entries for name in entry.undefined for seed in entry.seeds
    }
    assert len(students) + len(undefined) == len(suite.methods) * sum(len(entry.seeds) for entry in suite.entries)
    assert not students & undefined
    assert len({cell.hash for cell in members}) == len(members)
    assert len({cell.path for cell in members}) == len(members)


def test_steps_set_for_all_reach_students_and_teachers() -> None:
    for pair in load("quick", ["steps=7"]).pairs:
        assert pair.settings.recipe("student").steps == pair.settings.recipe("teacher").steps == 7


def test_the_hash_sees_every_setting_and_nothing_else() -> None:
    def hashes(*overrides: str) -> dict[str, str]:
        return {str(cell): cell.hash for cell in load("smoke", list(overrides)).cells}

    plain = hashes()
    assert plain == hashes()
    assert plain == hashes('description="other"')
    changed = hashes("hyperparameters.temperature.weight=0.5")
    assert {name for name in plain if plain[name] != changed[name]} == {n for n in plain if "/temperature/" in n}
    deeper = hashes("tasks.gan.student.learning_rate=0.1")
    # A student's setting does not make another teacher.
    differing = {name for name in plain if plain[name] != deeper[name]}
    assert all(name.startswith("gan/") for name in differing)
    assert not any("/teacher/" in name for name in differing)
    assert any("/scratch/" in name for name in differing)


def test_per_seed_teachers_are_one_each() -> None:
    shared = [c for c in load("smoke").cells if c.kind == "teacher"]
    each = [c for c in load("smoke", ['teachers="per-seed"']).cells if c.kind == "teacher"]
    assert len(each) == 2 * len(shared)


def test_a_suite_can_define_a_pair_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[tasks.classification]\npairs = ["cnn_mlp", "tiny", "as_it_is"]\npair.as_it_is = {}\n'
        "[tasks.classification.pair.tiny]\nstudent = { network = { hidden = [4] } }\n"
    )
    sizes = {pair.pair: pair.settings.model_dump()["student"]["network"]["hidden"] for pair in load(str(path)).pairs}
    assert sizes == {"cnn_mlp": (128,), "tiny": (4,), "as_it_is": (128,)}


def test_a_network_of_another_kind_leaves_the_old_ones_sizes_behind() -> None:
    suite = load(
        "quick", ['tasks.classification.student.network.name="cnn"', "tasks.classification.student.network.width=4"]
    )
    (pair,) = (pair for pair in suite.pairs if pair.task == "classification")
    assert pair.settings.model_dump()["student"]["network"]["width"] == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_the_canonical_hash_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert canonical_hash(value) == canonical_hash(dict(reversed(value.items())))
