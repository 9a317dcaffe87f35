"""The leaderboard: what is ranked together, what is shown without a rank, and its formats."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distillbench.bench.leaderboard import build, formats
from distillbench.bench.leaderboard.model import Board, Row, read
from distillbench.bench.store import timings
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.fingerprint import module_digest
from distillbench.bench.store.records import Failure, Record, Size, Store, Training, TrainingCurve
from support.boards import GOOD, LIKE_PLAIN, PLAIN, beside, folder, student, usual
from support.html import Collector
from support.processes import Run, finish
from support.records import record, timing

FORMATS = ("README.md", "leaderboard.tex", "leaderboard.csv", "leaderboard.json", "index.html")


def of_another_task(records: Sequence[Record], task: str = "gan") -> list[Record]:
    """The same records, in another task, without the records of their teachers."""
    moved = []
    for original in records:
        config = original.config | {"task": task}
        update = {"task": task, "config": config, "config_hash": canonical_hash(config)}
        moved.append(original.model_copy(update=update))
    return moved


def board_of(*paths: Path) -> Board:
    (board,) = build.leaderboard(paths).boards
    return board


def entry(board: Board, label: str, contributor: str | None = None) -> Row:
    (row,) = (r for r in board.entries if r.label == label and contributor in (None, r.contributor))
    return row


def test_three_folders_in_five_formats(cli: Run, tmp_path: Path) -> None:
    three = [
        folder(tmp_path / "quick", [*usual(), *of_another_task(usual())]),
        folder(tmp_path / "lab-a", [*student("mine", [88.0, 90.1, 89.2]), *of_another_task(student("mine", GOOD))]),
        folder(tmp_path / "lab-b", student("other", [70.0, 72.1, 70.9])),
    ]
    broken = three[2] / "records/classification/cnn_mlp/other/seed-2.json"
    broken.write_text(broken.read_text()[:200])
    done = [cli("leaderboard", *three, "-o", tmp_path / name) for name in ("first", "second")]
    assert [result.returncode for result in done] == [0, 0]
    assert "left out" in done[0].stderr
    assert str(broken) in done[0].stderr
    for name in FORMATS:
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        text = content.decode().replace("\\_", "_")
        assert all(words in text for words in ("lab-a", "lab-b", "mine", "2 of 3 seeds")), name
        assert str(broken) in text or name == "leaderboard.csv"
    leaderboard = read(tmp_path / "first" / "leaderboard.json")
    assert [board.title for board in leaderboard.boards] == ["classification, cnn_mlp", "gan, cnn_mlp"]
    lacks = {standing.label: standing.lacks for standing in leaderboard.overall[0].standings if not standing.place}
    assert lacks == {"other": ("classification, cnn_mlp: 2 of 3 seeds", "gan, cnn_mlp: no entry")}


def test_the_best_anchors_a_tier_of_all_that_are_not_significantly_worse(tmp_path: Path) -> None:
    contents = [*usual(), *student("alike", LIKE_PLAIN)]
    board = board_of(folder(tmp_path / "quick", contents))
    places = {row.label: row.place for row in board.entries}
    assert [row.label for row in board.entries] == ["good", "alike", "plain"]
    assert [places[name].tier for name in ("good", "plain", "alike")] == [1, 2, 2]  # type: ignore[union-attr]
    assert (places["good"].rank, places["good"].low, places["good"].high) == (1, 1, 1)  # type: ignore[union-attr]
    assert [row.label for row in board.rows if row.place is None] == ["teacher", "nearest centroid"]


def test_entries_of_different_seeds_or_teachers_are_compared_unpaired_with_a_note(tmp_path: Path) -> None:
    paired = board_of(folder(tmp_path / "a", usual()), folder(tmp_path / "b", student("mine", [85.2, 87.1, 86.4])))
    assert {row.pairing for row in paired.entries} == {1}
    assert not any("unpaired" in note for note in paired.notes)
    for name, more in {"seeds": {"first": 7}, "teacher": {"teacher_seed": 3}}.items():
        other = folder(tmp_path / name, student("mine", [85.2, 87.1, 86.4], **more))
        board = board_of(tmp_path / "a", other)
        assert entry(board, "mine").pairing != entry(board, "good").pairing
        (note,) = (note for note in board.notes if "unpaired" in note)
        assert f"{name}'s mine" in note


def test_pairing_by_seed_detects_what_unpaired_seeds_hide(tmp_path: Path) -> None:
    # Seeds differ by 10, the methods in every seed by 1.
    base = [70.0, 80.0, 90.0, 75.0]
    quick = folder(tmp_path / "quick", student("plain", base))
    better = [value + 1 + 0.01 * i for i, value in enumerate(base)]
    paired = board_of(quick, folder(tmp_path / "same", student("mine", better)))
    unpaired = board_of(quick, folder(tmp_path / "others", student("mine", better, first=10)))
    assert [row.place.tier for row in paired.entries if row.place] == [1, 2]
    assert [row.place.tier for row in unpaired.entries if row.place] == [1, 1]


def test_an_entry_that_lacks_seeds_is_shown_and_not_ranked(tmp_path: Path) -> None:
    lacking = [*student("lucky", [99.0, 99.1]), record("student", "lucky", 2, None, failure=Failure(reason="boom"))]
    board = board_of(folder(tmp_path / "quick", [*usual(), *lacking]))
    lucky = entry(board, "lucky")
    assert (lucky.place, lucky.unranked) == (None, "2 of 3 seeds, 1 failed")
    assert [row.place.rank for row in board.entries if row.place] == [1, 2]


def test_the_least_number_of_seeds_may_be_given(tmp_path: Path) -> None:
    # Who runs many seeds would otherwise leave nobody else a rank.
    paths = (
        folder(tmp_path / "quick", usual()),
        folder(tmp_path / "lab", student("many", [60.0, 61.0, 62.0, 63.0, 64.0])),
    )
    assert [row.label for row in board_of(*paths).entries if row.place] == ["many"]
    (board,) = build.leaderboard(paths, seeds=3).boards
    assert [(row.label, row.place.tier) for row in board.entries if row.place] == [
        ("good", 1),
        ("plain", 2),
        ("many", 3),
    ]
    (nobody,) = build.leaderboard(paths, seeds=9).boards
    assert {row.unranked for row in nobody.entries} == {"3 of 9 seeds", "5 of 9 seeds"}
    assert build.content(build.leaderboard(paths, seeds=9))["README.md"]


def test_what_never_finished_is_named(tmp_path: Path) -> None:
    failed = record("student", "broken", 0, None, failure=Failure(reason="RuntimeError: boom"))
    leaderboard = build.leaderboard([folder(tmp_path / "quick", [*usual(), failed])])
    assert leaderboard.problems == (
        "quick: classification/cnn_mlp/broken/seed 0: no seed finished (RuntimeError: boom)",
    )


def test_one_seed_has_ranks_and_no_tiers(tmp_path: Path) -> None:
    board = board_of(folder(tmp_path / "quick", [*student("plain", [80.0]), *student("good", [90.0])]))
    assert [(row.place.rank, row.place.tier, row.place.low) for row in board.entries if row.place] == [
        (1, None, None),
        (2, None, None),
    ]
    assert "1 seed: no tiers" in board.notes[0]


@pytest.mark.parametrize(
    ("more", "version"),
    [
        ({"code": "d" * 64}, "code dddddddddddd…"),
        ({"data": "letters"}, "data letters"),
        ({"device": "cuda"}, "device cuda"),
        ({"rate": 0.02}, "student.learning_rate 0.02"),
        ({"settings": {"steps": 200, "student": {"learning_rate": 0.01}}}, "steps 200"),
    ],
)
def test_another_version_is_another_board(tmp_path: Path, more: dict[str, Any], version: str) -> None:
    paths = folder(tmp_path / "quick", usual()), folder(tmp_path / "lab", student("good", [99.0, 99.1, 99.2], **more))
    leaderboard = build.leaderboard(paths)
    assert len(leaderboard.boards) == 2
    assert any(version in board.version for board in leaderboard.boards)
    assert all({row.contributor for row in board.entries} in ({"quick"}, {"lab"}) for board in leaderboard.boards)
    assert leaderboard.overall == ()


@pytest.mark.parametrize("change", [{"direction": "lower"}, {"unit": "parts"}])
def test_a_metric_of_another_direction_or_unit_is_on_another_board(tmp_path: Path, change: dict[str, Any]) -> None:
    turned = [
        record.model_copy(update={"metrics": {"accuracy": record.metrics["accuracy"].model_copy(update=change)}})
        for record in student("mine", [99.0, 99.1, 99.2])
    ]
    assert len(build.leaderboard([folder(tmp_path / "a", usual()), folder(tmp_path / "b", turned)]).boards) == 2


def smaller(label: str, values: Sequence[float], parameters: int) -> list[Record]:
    """With a network of its own."""
    settings = {"steps": 100, "student": {"learning_rate": 0.01, "network": {"name": "mlp", "hidden": [parameters]}}}
    size = Size(parameters=parameters, macs=parameters, bytes=4, input_shape=(1, 1, 8, 8))
    return [record.model_copy(update={"size": size}) for record in student(label, values, settings=settings)]


def test_students_of_several_sizes_share_a_board_and_its_front(tmp_path: Path) -> None:
    small, poor = smaller("small", [83.0, 85.2, 84.1], 1000), smaller("poor", [70.0, 71.0, 72.0], 5000)
    board = board_of(folder(tmp_path / "quick", usual()), folder(tmp_path / "lab", [*small, *poor]))
    assert {row.label: row.pareto for row in board.entries} == {
        "good": True,
        "small": True,
        "plain": False,
        "poor": False,
    }
    assert entry(board, "small").parameters == 1000
    assert entry(board, "small").speed is None


def test_equal_records_of_two_folders_are_one_entry(tmp_path: Path) -> None:
    copies = usual()[:-1]  # one seed of good is not there
    board = board_of(folder(tmp_path / "quick", usual()), folder(tmp_path / "copy", copies))
    assert [(row.label, row.folders, row.submissions) for row in board.entries] == [
        ("good", ("quick", "copy"), 1),
        ("plain", ("quick", "copy"), 1),
    ]
    assert sum(row.kind == "teacher" for row in board.rows) == 1


def test_tries_are_counted_over_all_folders(tmp_path: Path) -> None:
    tries = [
        folder(tmp_path / f"lab-{i}", student("good", [v + i for v in GOOD], hyperparameters={"weight": i}))
        for i in range(3)
    ]
    board = board_of(folder(tmp_path / "quick", usual()), *tries)
    assert {row.submissions for row in board.entries if row.label == "good"} == {4}
    assert {row.submissions for row in board.entries if row.label == "plain"} == {1}


def test_official_entries_have_this_installations_code(tmp_path: Path) -> None:
    digest = module_digest("distillbench.methods.mimic")
    official = student("mimic", GOOD, method_code=digest)
    edited = student("mimic", [86.0, 87.0, 88.0], method_code="f" * 64)
    renamed = student("mine", [86.0, 87.1, 88.0], method_code=digest)
    board = board_of(folder(tmp_path / "a", official), folder(tmp_path / "b", [*edited, *renamed]))
    assert entry(board, "mimic", "a").official
    assert not entry(board, "mimic", "b").official
    assert not entry(board, "mine").official


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; from distillbench.bench.leaderboard import build, page;"
        "from distillbench.bench.store.fingerprint import module_digest;"
        "module_digest('distillbench.methods.mimic'); assert 'torch' not in sys.modules"
    )
    assert finish([sys.executable, "-c", code]).returncode == 0


def test_speed_is_ranked_only_within_one_machine(tmp_path: Path) -> None:
    quick, small = folder(tmp_path / "quick", usual()), smaller("small", [83.0, 85.2, 84.1], 1000)
    lab = folder(tmp_path / "lab", small)
    assert any("no measure of speed" in note for note in board_of(quick, lab).notes)
    timings.write(quick, timing(usual(), quick=2e-5, environment={"cpu": "one", "cores": 2}))
    timings.write(lab, timing([*beside(), *small], quick=1e-5, environment={"cpu": "one", "cores": 2}))
    same_machine = board_of(quick, lab)
    assert {row.label: (row.speed.rank, row.speed.machine) for row in same_machine.entries if row.speed} == {
        "small": (1, "A"),
        "good": (2, "A"),
        "plain": (2, "A"),
    }
    timings.write(lab, timing([*beside(), *small], quick=1e-5, environment={"cpu": "two", "cores": 2}))
    other = board_of(quick, lab)
    assert {row.label: (row.speed.rank, row.speed.machine) for row in other.entries if row.speed} == {
        "small": (1, "B"),
        "good": (1, "A"),
        "plain": (1, "A"),
    }
    assert set(other.machines) == {"A", "B"}


NO_CURVE = TrainingCurve(steps=(), loss=(), validation=(), seconds=())


def trained(records: Sequence[Record], seconds: float) -> list[Record]:
    training = Training(
        steps=100, seconds=seconds, images_per_second=1, final_loss=0, final_distillation=0, curve=NO_CURVE
    )
    return [record.model_copy(update={"training": training}) for record in records]


def test_the_cost_of_distillation_is_relative_to_scratch(tmp_path: Path) -> None:
    contents = [*trained(student("scratch", PLAIN), 2.0), *trained(student("good", GOOD), 5.0)]
    board = board_of(folder(tmp_path / "quick", contents))
    good = entry(board, "good")
    assert good.training is not None
    assert (good.training.value, good.times_scratch, good.steps) == (5.0, 2.5, 100)


def test_the_overall_rank_averages_over_boards_for_entries_on_all_of_them(tmp_path: Path) -> None:
    quick = folder(tmp_path / "quick", [*usual(), *of_another_task(usual())])
    lab = folder(tmp_path / "lab", student("mine", [88.0, 90.1, 89.2]))
    (overall,) = build.leaderboard([quick, lab]).overall
    standings = {standing.label: standing for standing in overall.standings}
    assert standings["good"].place is not None
    assert (standings["good"].place.rank, sorted(standings["good"].ranks.values())) == (1.5, [1, 2])
    assert (standings["mine"].place, standings["mine"].lacks) == (None, ("gan, cnn_mlp: no entry",))
    assert list(standings["mine"].ranks.values()) == [1]


def test_rankings_of_several_suites_are_named_by_their_tasks(tmp_path: Path) -> None:
    def suite(name: str, *tasks: str) -> Path:
        return folder(tmp_path / name, [record for task in tasks for record in of_another_task(usual(), task)])

    def headings(*folders: Path) -> list[str]:
        board = build.leaderboard(folders)
        titles = re.findall("^## (Overall.*)$", formats.markdown(board), re.MULTILINE)
        assert re.findall(r"^\\subsection\*\{(Overall.*)\}$", formats.latex(board), re.MULTILINE) == titles
        return titles

    quick, other = suite("quick", "classification", "denoising"), suite("other", "gan", "vae")
    assert headings(quick) == ["Overall"]
    assert headings(quick, other) == ["Overall: classification, denoising", "Overall: gan, vae"]
    before = tmp_path / "before"
    for newer in Store(other):
        config = newer.config | {"code": "of another version"}
        older = newer.model_copy(update={"config": config, "config_hash": canonical_hash(config)})
        Store(before).write(older.path, older)
    assert sorted(headings(other, before)) == ["Overall: gan, vae (before)", "Overall: gan, vae (other)"]


def test_leaving_a_task_out_does_not_change_what_is_averaged(tmp_path: Path) -> None:
    tasks = ("gan", "vae")
    quick = folder(tmp_path / "quick", [*usual(), *(r for task in tasks for r in of_another_task(usual(), task))])
    lab = folder(tmp_path / "lab", [*student("mine", GOOD), *of_another_task(student("mine", GOOD))])
    (overall,) = build.leaderboard([quick, lab]).overall
    assert len(overall.boards) == 3
    assert [s.lacks for s in overall.standings if s.label == "mine"] == [("vae, cnn_mlp: no entry",)]


def test_the_order_of_the_folders_changes_no_place(tmp_path: Path) -> None:
    paths = [
        folder(tmp_path / "a", usual()),
        folder(tmp_path / "b", student("mine", [85.5, 86.2, 87.0], first=5)),
        folder(tmp_path / "c", student("other", LIKE_PLAIN)),
    ]
    first, *others = (board_of(*order).rows for order in itertools.permutations(paths))
    assert all(rows == first for rows in others)


def test_trials_are_not_ranked(tmp_path: Path) -> None:
    trial = student("lucky", [99.0])[0].model_copy(update={"trial": 0})
    assert all(row.label != "lucky" for row in board_of(folder(tmp_path / "a", [*usual(), trial])).rows)


def test_csv_and_json_hold_the_numbers(tmp_path: Path) -> None:
    leaderboard = build.leaderboard([folder(tmp_path / "quick", usual())])
    rows = list(csv.DictReader(io.StringIO(formats.as_csv(leaderboard))))
    assert [(row["method"], row["rank"], row["tier"]) for row in rows[:2]] == [
        ("good", "1.0", "1"),
        ("plain", "2.0", "2"),
    ]
    assert float(rows[0]["quality"]) == pytest.approx(86.1)
    assert json.loads(build.content(leaderboard)["leaderboard.json"])["boards"][0]["rows"][0]["label"] == "good"


def test_the_page_can_hide_rows(tmp_path: Path) -> None:
    quick, lab = folder(tmp_path / "quick", usual()), folder(tmp_path / "lab", smaller("small", GOOD, 1000))
    page = Collector(build.content(build.leaderboard([quick, lab]))["index.html"])
    of_rows = [attributes.get("data-parameters") for tag, attributes in page.tags if tag == "tr"]
    assert of_rows == [None, "1000", "9610", "9610", None, None]  # head, three entries, teacher and baseline
    assert [attributes["value"] for tag, attributes in page.tags if tag == "option"][:4] == [
        "",
        "1000",
        "10000",
        "100000",
    ]
    assert ("form", {"id": "sizes", "hidden": None}) in page.tags  # until the script that filters has loaded


def test_the_page_has_no_network_address(tmp_path: Path) -> None:
    files = build.content(build.leaderboard([folder(tmp_path / "quick", usual())]))
    for name in ("index.html", "assets/board.js", "assets/board.css", "assets/page.css"):
        assert b"//" not in files[name].replace(b"// ", b""), name  # except in a script's comments


def test_contributors_of_one_name_are_distinguished(tmp_path: Path) -> None:
    paths = [folder(tmp_path / lab / "quick", student(f"by_{lab}", GOOD)) for lab in ("lab-a", "lab-b")]
    assert [folder.name for folder in build.leaderboard(paths).contributors] == ["lab-a/quick", "lab-b/quick"]
    hidden = [folder(tmp_path / name, student("mine", GOOD)) for name in ("a\u202eb", "a\\u202eb")]
    assert [folder.name for folder in build.leaderboard(hidden).contributors] == ["a\\u202eb", "a\\u202eb (2)"]


# -- controls -------------------------------------------------------------------------------------------------------

BETTER, LATER = [95.0, 97.2, 96.1], [70.0, 72.0, 71.0]


def test_a_control_that_beats_every_method_has_no_rank_and_takes_none(tmp_path: Path) -> None:
    without = board_of(folder(tmp_path / "without", usual()))
    contents = [*usual(), *student("random_teacher", BETTER), *student("scratch", PLAIN)]
    board = board_of(folder(tmp_path / "with", contents))
    assert [(row.label, row.place) for row in board.entries] == [(row.label, row.place) for row in without.entries]
    assert [(row.label, row.place, row.unranked) for row in board.controls] == [
        ("scratch", None, ""),
        ("random_teacher", None, ""),
    ]
    assert [row.label for row in board.rows] == [
        "good",
        "plain",
        "scratch",
        "random_teacher",
        "teacher",
        "nearest centroid",
    ]
    assert not any(row.pareto for row in board.controls)
    assert (
        "the best entry, with's good, is not significantly better than the control with's random_teacher" in board.notes
    )
    assert not any("not significantly better" in note for note in without.notes)


def test_a_control_of_more_seeds_leaves_the_entries_complete(tmp_path: Path) -> None:
    many = student("scratch", [60.0, 61.0, 62.0, 63.0, 64.0])
    board = board_of(folder(tmp_path / "quick", [*usual(), *many]))
    assert board.seeds == 3
    assert [row.place.rank for row in board.entries if row.place] == [1, 2]


def test_controls_alone_make_a_board_without_ranks(tmp_path: Path) -> None:
    leaderboard = build.leaderboard([folder(tmp_path / "quick", [*beside(), *student("scratch", PLAIN)])])
    (board,) = leaderboard.boards
    assert (board.entries, [row.label for row in board.controls]) == ([], ["scratch"])
    assert build.content(leaderboard)["index.html"]


def test_a_faster_control_takes_no_rank_of_speed(tmp_path: Path) -> None:
    quick = folder(tmp_path / "quick", usual())
    lab = folder(tmp_path / "lab", smaller("scratch", LATER, 1000))
    here = {"cpu": "one", "cores": 2}
    timings.write(quick, timing(usual(), quick=2e-5, environment=here))
    timings.write(lab, timing([*beside(), *smaller("scratch", LATER, 1000)], quick=1e-5, environment=here))
    board = board_of(quick, lab)
    assert {row.label: row.speed.rank for row in board.rows if row.speed} == {"good": 1, "plain": 1, "scratch": None}


def test_an_overall_ranking_has_no_controls(tmp_path: Path) -> None:
    contents = [*usual(), *student("scratch", BETTER)]
    more = of_another_task(student("scratch", BETTER), "vae")
    quick = folder(tmp_path / "quick", [*contents, *of_another_task(contents)])
    lab = folder(tmp_path / "lab", [*student("scratch", LATER), *of_another_task(student("scratch", LATER)), *more])
    (overall,) = build.leaderboard([quick, lab]).overall
    assert [(standing.label, standing.lacks) for standing in overall.standings] == [("good", ()), ("plain", ())]
    assert len(overall.boards) == 2  # who runs controls alone makes no suite


def test_a_copy_that_claims_to_be_a_control_takes_no_place_away(tmp_path: Path) -> None:
    copies = [r.model_copy(update={"control": True}) for r in student("good", [*GOOD, 86.0])]
    board = board_of(folder(tmp_path / "quick", usual()), folder(tmp_path / "copy", copies))
    assert [(row.contributor, row.label) for row in board.entries if row.place] == [
        ("quick", "good"),
        ("quick", "plain"),
    ]
    assert [row.contributor for row in board.controls] == ["copy"]


def test_controls_stand_beneath_a_heading_or_a_rule_in_every_format(tmp_path: Path) -> None:
    leaderboard = build.leaderboard([folder(tmp_path / "quick", [*usual(), *student("scratch", BETTER)])])
    names = [line.split("|")[3].strip() for line in formats.markdown(leaderboard).splitlines() if line.startswith("| ")]
    assert names[2:] == [
        "good",
        "plain",
        "*controls:*",
        "scratch",
        "*teachers and baselines:*",
        "teacher",
        "nearest centroid",
    ]
    assert formats.latex(leaderboard).count("\\midrule") == 3
    rows = {row["method"]: row for row in csv.DictReader(io.StringIO(formats.as_csv(leaderboard)))}
    assert {name: (row["rank"], row["control"]) for name, row in rows.items() if row["kind"] == "student"} == {
        "good": ("1.0", "0"),
        "plain": ("2.0", "0"),
        "scratch": ("", "1"),
    }
    page = Collector(build.content(leaderboard)["index.html"])
    assert [attributes["class"] for tag, attributes in page.tags if tag == "tr" and "class" in attributes] == [
        *("method", "method", "control", "teacher", "baseline")
    ]
