"""Files that a run keeps, damaged: noticed by checksum, told in a line, made again. By the real command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.plan import plan
from distillbench.bench.store.weights import DamagedError, damage, digest, load_weights, save_weights, usable
from distillbench.bench.suite.resolve import load
from support.images import write_image
from support.processes import Run, reproducible

DRAWING = Path("figures/classification--cnn_mlp.json")
PICTURE = Path("figures/classification--cnn_mlp--hardest.png")


@pytest.fixture
def out(tiny_results: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be spoilt."""
    folder = tmp_path / "copy"
    shutil.copytree(tiny_results, folder)
    return folder


# -- weights --------------------------------------------------------------------------------------------------------


def test_whole_weights_come_back_with_their_metadata(tmp_path: Path) -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(tmp_path / "w", one, "this", {"training": "{}"})
    assert damage(tmp_path / "w", "this") is None
    assert load_weights(tmp_path / "w", other, "this") == {"training": "{}"}
    assert digest(other) == digest(one)
    assert not usable(tmp_path / "nowhere", "this")


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "cannot be read as weights"),
    "cut off": (lambda content: content[:-4], "cannot be read as weights"),
    "foreign": (lambda content: b"PK\3\4 an archive", "cannot be read as weights"),
    "another weight": (lambda content: flipped(content, -2), "the content does not match its checksum"),
    "another figure of its training": (
        lambda content: content.replace(b"0.5", b"0.6"),
        "the content does not match its checksum",
    ),
    "another shape": (lambda content: content.replace(b"[2,3]", b"[3,2]"), "the content does not match its checksum"),
    "without a checksum": (lambda content: content.replace(b"sha256", b"sha255"), "the content does not match"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_weights_are_noticed(tmp_path: Path, name: str) -> None:
    change, reason = DAMAGE[name]
    path, model = tmp_path / "w.safetensors", nn.Linear(3, 2)
    save_weights(path, model, "this", {"training": '{"loss": 0.5}'})
    before = path.read_bytes()
    path.write_bytes(change(before))
    assert path.read_bytes() != before
    assert str(damage(path, "this")).startswith(f"{path}: {reason}")
    assert not usable(path, "this")
    with pytest.raises(DamagedError, match=r"w\.safetensors"):
        load_weights(path, model, "this")


def test_whole_weights_of_something_else_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, nn.Linear(3, 2), "that")
    assert damage(path, "this") == f"{path}: holds the weights of another configuration"
    with pytest.raises(DamagedError, match="holds the weights of another network"):
        load_weights(path, nn.Linear(2, 2), "that")


# -- teachers and judges --------------------------------------------------------------------------------------------


def test_a_damaged_teacher_is_told_and_made_again(cli: Run, tiny_suite: Path, out: Path) -> None:
    wanted = reproducible(out)
    (teacher,) = (out / "cache" / "teachers").iterdir()
    weights = teacher.read_bytes()[-64:]
    teacher.write_bytes(teacher.read_bytes()[:-7])
    (out / "records/classification/cnn_mlp/mimic/seed-0.json").unlink()
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = [line for line in done.stdout.splitlines() if "it is made again" in line]
    assert told.startswith(f"{teacher}: cannot be read as weights (")
    assert teacher.read_bytes()[-64:] == weights
    assert reproducible(out) == wanted


def test_what_is_damaged_is_told_and_planned_anew(tmp_path: Path) -> None:
    """Feature extractors and teachers, whatever their weights are: the files that stand for them here hold others."""
    suite = load("smoke", ["seeds=[0]", 'methods=["scratch"]'], ["vae"])
    students = [cell for cell in suite.cells if cell.kind == "student"]
    todo = plan(suite, tmp_path, tmp_path, students)
    (pair,) = suite.pairs
    extractor, teacher = pair.extractor_path(tmp_path), pair.teacher_path(tmp_path, 0)

    def kinds() -> list[str]:
        return [job.kind for job in job_graph(todo).jobs]

    assert (kinds(), job_graph(todo).damaged) == (["extractor", "teacher", "group"], ())
    for path in (extractor, teacher):
        save_weights(path, nn.Linear(3, 2), path.stem)
    assert (kinds(), job_graph(todo).damaged) == (["group"], ())
    extractor.write_bytes(flipped(extractor.read_bytes(), -1))
    assert kinds() == ["extractor", "group"]
    shutil.copy(extractor, teacher)
    assert kinds() == ["extractor", "teacher", "group"]
    reason = "the content does not match its checksum"
    assert job_graph(todo).damaged == (f"{extractor}: {reason}", f"{teacher}: {reason}")


# -- images ---------------------------------------------------------------------------------------------------------


def test_damaged_decoded_images_are_told_once_and_made_again(cli: Run, tmp_path: Path) -> None:
    for i in range(40):
        write_image(tmp_path / "in" / "ab"[i % 2] / f"{i:02d}.png", i)
    (tmp_path / "cache").mkdir()
    data = f"tasks.classification.data.train={tmp_path / 'in'}"
    command = ("plan", "smoke", "--tasks", "classification", "--set", data, "--out", tmp_path)
    assert cli(*command).stderr == ""
    kept = sorted((tmp_path / "cache" / "images").iterdir())
    whole = [path.read_bytes() for path in kept]
    assert len(whole) == 3
    kept[0].write_bytes(flipped(whole[0], -1))
    assert cli(*command).stderr == (
        f"distillbench: data: {kept[0]} is damaged (its content does not match its checksum); it is made again\n"
    )
    assert [path.read_bytes() for path in kept] == whole


# -- pictures -------------------------------------------------------------------------------------------------------


def test_a_missing_picture_is_drawn_by_a_run_with_nothing_else_to_do(cli: Run, tiny_suite: Path, out: Path) -> None:
    wanted, before = (out / PICTURE).read_bytes(), reproducible(out)
    shutil.rmtree(out / PICTURE.parent)
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "17 finished: nothing to do" in done.stdout
    assert (out / PICTURE).read_bytes() == wanted
    assert reproducible(out) == before


def test_a_picture_that_cannot_be_drawn_names_what_it_lacks(cli: Run, tiny_suite: Path, out: Path) -> None:
    student = out / "weights/classification/cnn_mlp/mimic/seed-0.safetensors"
    (out / PICTURE).unlink()
    shutil.copy(student.with_name("seed-1.safetensors"), student)
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 0, done.stderr
    reason = f"{out / DRAWING}: not drawn: {student}: holds the weights of another configuration\n"
    assert done.stdout.endswith(reason)
    assert not (out / PICTURE).exists()
    student.unlink()
    assert f"{out / DRAWING}: not drawn: {student}: is missing\n" in cli("run", tiny_suite, "--out", out).stdout


# -- the list of what was to be made --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["[{", '{"a": 1}'])
def test_a_damaged_list_of_cells_is_begun_anew(cli: Run, tiny_suite: Path, out: Path, content: str) -> None:
    whole = (out / "expected.json").read_text()
    (out / "expected.json").write_text(content)
    done = cli("run", tiny_suite, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"{out}/expected.json: cannot be read as a list of cells" in done.stdout
    assert (out / "expected.json").read_text() == whole
    assert "expected.json" not in cli("run", tiny_suite, "--out", out).stdout
