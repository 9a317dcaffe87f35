"""Finished networks as ONNX: every task's, by the real command, and what cannot be exported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from distillbench.bench.analysis.results import summaries
from distillbench.bench.export.trained_network import inputs_of, load, pair_of, weights_of
from distillbench.bench.measure.onnx_export import ABSOLUTE, Exported, export, session
from distillbench.bench.report.card import licences
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.weights import digest, save_weights
from distillbench.bench.suite.resolve import load as load_suite
from distillbench.bench.training.loop import initial
from distillbench.common.errors import UserError
from distillbench.tasks.base import Folders, Role, Task, read_only
from distillbench.tasks.data.embedded import PHOTOGRAPHS
from distillbench.tasks.data.folders import identity
from distillbench.tasks.data.licences import DIGITS, LICENCES
from distillbench.tasks.networks.interfaces import OTHER
from support.paths import ROOT
from support.processes import Run, finish
from support.tasks import TASK_NAMES

TaskOf = Callable[[str], Task]
PLACE = Path("records/classification/cnn_mlp")


# -- every task's networks ------------------------------------------------------------------------------------------


ExportedOf = Callable[[str, Role], tuple[Task, nn.Module, Exported]]


@pytest.fixture(scope="module")
def exported_of(task_of: TaskOf, tmp_path_factory: pytest.TempPathFactory) -> ExportedOf:
    """(task, role) -> the task, the network that its user ships, and what came of the record of it."""
    results = tmp_path_factory.mktemp("untrained")

    @cache
    def get(name: str, role: Role) -> tuple[Task, nn.Module, Exported]:
        task, cell = task_of(name), next(c for c in load_suite("smoke", tasks=[name]).cells if c.kind == role)
        model = read_only(initial(task, role, 0))
        for number, weight in enumerate(model.parameters()):  # equal ones, of zeros, would be kept once
            weight += 0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        own = task.deployed(model)
        record = Record(
            kind=role, status="finished", task=name, pair=cell.pair.pair, label=cell.label, seed=0, teacher_seed=0,
            teachers="shared", primary_metric=task.primary_metric, config=cell.config, config_hash=cell.hash,
            weights_sha256=digest(model),
        )  # fmt: skip
        path = results / record.path
        kept = model if role == "teacher" else own
        save_weights(weights_of(path, record, results / "cache"), kept, cell.hash)
        its = load(path, record)
        assert digest(its.model) == digest(own)
        return task, own, export(its.model, its.task.example_input(1), its.inputs)

    return get


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_network_agrees_with_eager_on_real_test_inputs(exported_of: ExportedOf, name: str, role: Role) -> None:
    task, model, exported = exported_of(name, role)
    assert exported.failure is None
    assert exported.parity is not None
    assert exported.parity.examples >= 12
    assert 0 <= exported.parity.absolute < 1e-4
    sides = (40, 52) if exported.input_shape[-1] == "width" else task.example_input(1).shape[2:]
    batch = torch.rand(3, task.example_input(1).shape[1], *sides)
    (found,) = session(exported.content).run(None, {"input": batch.numpy()})
    np.testing.assert_allclose(found, model(batch).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TASK_NAMES)
def test_only_the_student_is_in_the_file(exported_of: ExportedOf, name: str) -> None:
    """Its weights, each of them once, and a few constants of the operators."""
    _, model, exported = exported_of(name, "student")
    proto = onnx.load_from_string(exported.content)
    assert exported.operators
    assert sum(exported.operators.values()) == len(proto.graph.node)
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    assert not any(word in key for key in kept for word in ("discriminator", "teacher", "adapter", "extractor"))
    own = {value.numpy().tobytes() for value in model.state_dict().values()}
    # A weight may have another name there, and further axes of length one.
    others = {key: array.size for key, array in kept.items() if array.tobytes() not in own}
    assert len(kept) - len(others) == len(own)
    assert sum(others.values()) <= 64, others


def test_the_photographs_are_compared_whole_and_in_another_size(task_of: TaskOf) -> None:
    task = task_of("super_resolution")
    inputs = inputs_of(task, read_only(initial(task, "student", 0)))
    whole = [(image.shape[1] // 2, image.shape[2] // 2) for image in task.splits.test.images]
    assert [tuple(batch.shape[2:]) for batch in inputs[: len(whole)]] == whole
    assert len(set(whole)) > 1
    assert inputs[-1].shape == (len(whole), 1, 32, 48)


@pytest.mark.parametrize("judged", [True, False])
def test_the_test_inputs_are_those_of_the_evaluation(judged: bool, task_of: TaskOf) -> None:
    """Also where there is no extractor, as in a process that times."""
    task = copy(task_of("vae"))
    task.feature_extractor = task.feature_extractor if judged else None
    inputs = inputs_of(task, read_only(initial(task, "student", 0)))
    images = task.shared_inputs(range(48), torch.Generator(), split="test")["images"]
    assert torch.equal(inputs[0], images)


def test_the_test_inputs_are_those_of_an_evaluation_that_was_before(task_of: TaskOf) -> None:
    task = task_of("gan")
    model = read_only(initial(task, "student", 0))
    before = inputs_of(task, model)
    task.evaluate(model, model)
    assert len(before[0]) == 48
    assert torch.equal(inputs_of(task, model)[0], before[0])


class Rounding(nn.Module):
    """In eager another function than in a graph."""

    def forward(self, values: Tensor) -> Tensor:
        return values if torch.compiler.is_exporting() else values + 2 * ABSOLUTE + 1e-3


class Hidden(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values if values.sum().item() > 0 else -values


def test_what_differs_from_eager_is_a_failure_with_its_reason() -> None:
    exported = export(Rounding(), torch.rand(1, 3), [torch.rand(4, 3)])
    assert exported.failure is not None
    assert exported.failure.startswith("ONNX Runtime differs from eager by 1.0e-03 (")
    assert "\n" not in exported.failure


def test_what_cannot_be_exported_is_a_failure_with_its_reason() -> None:
    exported = export(Hidden(), torch.rand(1, 3), [torch.rand(4, 3)])
    assert exported.failure
    assert "\n" not in exported.failure
    assert exported.content == b""


def test_an_output_that_is_not_finite_is_a_failure() -> None:
    exported = export(nn.Linear(2, 2), torch.rand(1, 2), [torch.full((1, 2), torch.inf)])
    assert exported.failure == "ValueError: the output is not finite"


# -- the command ----------------------------------------------------------------------------------------------------


Here = Callable[..., tuple[int, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command line in this process, to be refused: its exit code and standard error; nothing on the other."""

    def run(*arguments: object) -> tuple[int, str]:
        from distillbench.bench import cli

        monkeypatch.setattr(sys, "argv", ["distillbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        assert said.out == ""
        return int(str(stopped.value.code)), said.err

    return run


@pytest.fixture(scope="module")
def folder(cli: Run, tiny_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "student"
    done = cli("export", tiny_results / PLACE / "temperature/seed-0.json", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "4 operators, opset" in done.stdout
    assert "equal to PyTorch on 49 test inputs" in done.stdout
    return out


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The snippet, from a place where nothing of ours can be imported."""
    code = (
        "import runpy, sys\n"
        "class Refused:\n"
        " def find_spec(self, name, *more):\n"
        "  if name.partition('.')[0] in ('torch', 'bench', 'tasks', 'PIL', 'onnx'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        f"sys.argv = {['run.py', *map(str, arguments)]!r}\n"
        f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')\n"
    )
    return finish([sys.executable, "-I", "-c", code], cwd="/")


def test_the_snippet_gives_what_eager_gives(folder: Path, tiny_results: Path, tmp_path: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "classification-cnn_mlp-temperature-seed-0.onnx", "input.npy", "run.py",
    ]  # fmt: skip
    done = run(folder, folder / "input.npy", tmp_path / "out.npy")
    assert done.returncode == 0, done.stderr
    path = tiny_results / PLACE / "temperature/seed-0.json"
    model = load(path, Store(tiny_results).read(path)).model
    logits = model(torch.from_numpy(np.load(folder / "input.npy")))
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), logits.numpy(), rtol=1e-4, atol=1e-5)
    likely = logits.softmax(1)[0]
    assert f"example 0: {likely.argmax()} ({100 * likely.max():.1f}%)" in done.stdout
    assert run(folder).stdout == done.stdout


def test_the_snippet_takes_an_image_as_training_did(folder: Path, tmp_path: Path) -> None:
    image = np.load(folder / "input.npy")[0, 0]
    pixels = (image * 255).round().astype(np.uint8)
    (tmp_path / "digit.pgm").write_bytes(b"P5\n8 8\n255\n" + pixels.tobytes())
    np.save(tmp_path / "digit.npy", pixels)
    expected = run(folder).stdout
    assert run(folder, tmp_path / "digit.pgm").stdout == expected
    assert run(folder, tmp_path / "digit.npy").stdout == expected
    (tmp_path / "large.pgm").write_bytes(b"P5\n9 8\n255\n" + bytes(72))
    refused = run(folder, tmp_path / "large.pgm")
    assert refused.returncode == 1
    assert refused.stderr == "the network takes inputs of shape ['batch', 1, 8, 8], and the image has [1, 1, 8, 9]\n"


def test_the_snippet_prepares_photographs_as_the_tasks_do(task_of: TaskOf) -> None:
    from distillbench.bench.measure.run_onnx import prepare
    from distillbench.tasks.data.pixels import to_float
    from distillbench.tasks.metrics.images import grey, luma

    image = task_of("style_transfer").splits.test.images[1]
    pixels = image.permute(1, 2, 0).numpy()
    for how, wanted in (("luma", luma(to_float(image))), ("grey", grey(to_float(image))), ("rgb", to_float(image))):
        found = prepare(pixels, how, ["batch", len(wanted), "height", "width"], 1)
        assert np.abs(found[0] - wanted.numpy()).max() < 1.5 / 255, how
        assert np.mean(found[0] != wanted.numpy()) < 0.3
    for channels in (1, 3):  # a file of one channel is taken as it is, one of three equal channels is not
        equal = image[:1].expand(channels, -1, -1)
        found = prepare(equal.permute(1, 2, 0).numpy(), "luma", ["batch", 1, "height", "width"], 1)
        assert np.abs(found[0] - luma(to_float(equal)).numpy()).max() < 1.5 / 255
    assert prepare(pixels, "rgb", ["batch", 3, "h", "w"], 4).shape == (1, 3, 300, 448)


def test_the_card_says_what_the_table_says(folder: Path, tiny_results: Path) -> None:
    card = (folder / "README.md").read_text()
    record = Store(tiny_results).read(tiny_results / PLACE / "temperature/seed-0.json")
    (summary,) = summaries(tiny_results)
    row = next(row for row in summary.rows if row.name == "temperature")
    for name, estimate in row.metrics.items():
        metric = record.metrics[name]
        interval = f"{estimate.interval.mean:.{metric.decimals}f} ± {estimate.interval.half_width:.{metric.decimals}f}"
        line = next(line for line in card.splitlines() if line.startswith(f"| {name.replace('_', ' ')} "))
        assert f"{metric.value:.{metric.decimals}f}" in line
        assert line.endswith(f"| {interval} |")
    teacher = Store(tiny_results).read(tiny_results / PLACE / "teacher/seed-0.json")
    for text in (
        "`mlp(hidden=[16])`", "temperature 4", "(batch, 1, 8, 8)", "(batch, 10)", "learning rate 0.002", "steps 8",
        "CC BY 4.0", "over 3 seeds", record.config_hash, record.revision, f"torch {torch.__version__}".split("+")[0],
        f"seed 0, accuracy {teacher.metrics['accuracy'].value:.2f} %",
    ):  # fmt: skip
        assert text in card, text


def test_a_teacher_comes_out_of_the_cache(cli: Run, tiny_results: Path, tmp_path: Path, here: Here) -> None:
    record = tiny_results / PLACE / "teacher/seed-0.json"
    done = cli("export", record, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "A teacher network" in (tmp_path / "out/README.md").read_text()
    assert run(tmp_path / "out").returncode == 0
    nowhere = tmp_path / "nowhere"
    file = nowhere / "teachers" / f"{Store(tiny_results).read(record).config_hash}.safetensors"
    reason = f"distillbench: {file}: the weights are missing (give the folder of teachers with --cache)\n"
    assert here("export", record, "-o", tmp_path / "other", "--cache", nowhere) == (2, reason)
    assert not (tmp_path / "other").exists()


# -- what cannot be exported ----------------------------------------------------------------------------------------


@pytest.fixture
def results(tiny_results: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_results, tmp_path / "results")
    return tmp_path / "results"


def changed(path: Path, **fields: object) -> Path:
    """A record rewritten, its hash put right."""
    content = json.loads(path.read_text()) | fields
    content["config_hash"] = canonical_hash(content["config"])
    path.write_text(json.dumps(content))
    return path


def config(path: Path, **fields: object) -> dict[str, object]:
    return json.loads(path.read_text())["config"] | fields


def no_record(student: Path) -> str:
    student.write_text("{}")
    return "not a distillbench record (no field schema_version)"


def absent(student: Path) -> str:
    student.unlink()
    return "cannot be read as a record"


def reference(student: Path) -> str:
    shutil.copy(next(student.parents[1].glob("baseline-*/seed-0.json")), student)
    return "is a baseline: it has no network"


def failed(student: Path) -> str:
    changed(student, status="failed", failure={"reason": "no reason"}, metrics={}, examples={})
    return "the cell failed, it has no network (no reason)"


def trial(student: Path) -> str:
    changed(student, trial=3)
    return "is a trial of tuning: its weights are not kept"


def other_code(student: Path) -> str:
    changed(student, config=config(student, code="0" * 64))
    return "made with different code: code was 000000000000…, is "


def other_data(student: Path) -> str:
    ours = identity(Folders(), "digits")["sha256"]
    changed(student, config=config(student, data={"name": "digits", "sha256": "ab" * 32}))
    return f"made with different data: data.sha256 was abababababab…, is {ours[:12]}…; give the place of the data with"


def elsewhere(student: Path) -> str:
    content = student.read_text()
    student.unlink()
    student.write_text(content.replace('"pair": "cnn_mlp"', '"pair": "other"'))
    return "is not in a results folder (expected: records/classification/other/temperature/seed-0.json in one)"


def weights(student: Path) -> Path:
    return student.parents[4] / "weights" / student.relative_to(student.parents[3]).with_suffix(".safetensors")


def no_weights(student: Path) -> str:
    weights(student).unlink()
    return f"{weights(student)}: the weights are missing"


def damaged_weights(student: Path) -> str:
    content = bytearray(weights(student).read_bytes())
    content[-2] ^= 1
    weights(student).write_bytes(content)
    return f"{weights(student)}: the content does not match its checksum"


def cut_weights(student: Path) -> str:
    weights(student).write_bytes(weights(student).read_bytes()[:-7])
    return f"{weights(student)}: cannot be read as weights"


def weights_of_another_run(student: Path) -> str:
    changed(student, weights_sha256="0" * 64)
    return f"{weights(student)}: does not hold the weights of {student}"


BAD = (
    no_record, absent, reference, failed, trial, other_code, other_data, elsewhere, no_weights, damaged_weights,
    cut_weights, weights_of_another_run,
)  # fmt: skip


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_what_has_no_network_is_refused_in_a_line(
    spoil: Callable[[Path], str], results: Path, tmp_path: Path, here: Here
) -> None:
    student = results / PLACE / "temperature/seed-0.json"
    reason = spoil(student)
    code, said = here("export", student, "-o", tmp_path / "out")
    assert code == 2
    assert reason in said
    assert said.startswith("distillbench: ")
    assert str(student.parent) in said or str(weights(student)) in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results"]


def test_folders_that_cannot_be_written_are_refused_in_a_line(here: Here, tiny_results: Path, tmp_path: Path) -> None:
    record = tiny_results / PLACE / "scratch/seed-0.json"
    (tmp_path / "file").write_text("mine")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/README.md").write_text("mine")
    for out, reason in (
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "file/inside", "cannot be written: File exists"),
        (tmp_path / "project", "holds another README.md (choose another folder)"),
        ("", "--out: is empty"),
        ("/proc/out", "cannot be written"),
    ):
        code, said = here("export", record, "-o", out)
        assert code == 2
        assert reason in said
        assert said.count("\n") == 1
    assert (tmp_path / "file").read_text() == (tmp_path / "project/README.md").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["README.md", "file", "project"]


def test_an_export_takes_the_place_of_its_own_alone(cli: Run, folder: Path, tiny_results: Path, here: Here) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "run.py").write_text("damaged")
    assert cli("export", tiny_results / PLACE / "temperature/seed-0.json", "-o", folder).returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    reason = f"--out: {folder} holds another classification-cnn_mlp-temperature-seed-0.onnx (choose another folder)"
    other = here("export", tiny_results / PLACE / "scratch/seed-0.json", "-o", folder)
    assert other == (2, f"distillbench: {reason}\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_network_that_cannot_be_exported_is_told_in_a_line(
    tiny_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here
) -> None:
    from distillbench.bench.measure import onnx_export as measure

    monkeypatch.setattr(measure, "export", lambda *_: Exported(failure="ValueError: no such operator"))
    record = tiny_results / PLACE / "temperature/seed-0.json"
    reason = f"distillbench: {record}: cannot be exported: ValueError: no such operator\n"
    assert here("export", record, "-o", tmp_path / "out") == (1, reason)
    assert not list(tmp_path.iterdir())


# -- records of other data ------------------------------------------------------------------------------------------


def test_the_pair_of_a_record_is_the_pair_that_made_it(tiny_results: Path) -> None:
    record = Store(tiny_results).read(tiny_results / PLACE / "teacher/seed-0.json")
    pair = pair_of(record)
    assert pair.teacher_hash(0) == record.config_hash
    with pytest.raises(UserError, match=r"^--set steps: is not a setting of where data lie \(allowed: data\)$"):
        pair_of(record, {"steps": 3})


def test_a_network_of_the_users_images_is_exported_where_they_are_given(cli: Run, tmp_path: Path, here: Here) -> None:
    from support.images import write_image

    for i in range(40):
        write_image(tmp_path / "in" / "ab"[i % 2] / f"{i:02d}.png", i)
    where = f"data.train={tmp_path / 'in'}"
    options = (
        "--tasks",
        "classification",
        "--methods",
        "scratch",
        "--seeds",
        "0",
        "--set",
        f"tasks.classification.{where}",
    )
    assert cli("run", "smoke", *options, "--out", tmp_path / "r").returncode == 0
    record = tmp_path / "r" / PLACE / "scratch/seed-0.json"
    code, said = here("export", record, "-o", tmp_path / "out")
    assert code == 2
    assert "made with different data" in said
    done = cli("export", record, "-o", tmp_path / "out", "--set", where)
    assert done.returncode == 0, done.stderr
    assert "the user's own files" in (tmp_path / "out/README.md").read_text()


# -- what the card knows --------------------------------------------------------------------------------------------


def test_every_task_says_what_goes_in_and_out() -> None:
    from distillbench.bench.suite.registry import TASKS

    assert all(TASKS.get(name).interface is not OTHER for name in TASK_NAMES)


def test_licences_are_those_of_the_data_document() -> None:
    document = " ".join((ROOT / "docs/data.md").read_text().split())
    for picture, licence in LICENCES.items():
        assert picture in document
        assert licence in document, picture
    assert "(Alpaydin & Kaynak 1998; CC BY 4.0)" in DIGITS
    assert "(Alpaydin & Kaynak 1998; CC BY 4.0)" in document
    pictures = sum(len(part) for part in (PHOTOGRAPHS.train, PHOTOGRAPHS.validation, PHOTOGRAPHS.test))
    embedded = {"name": "photographs", "sha256": "0"}
    assert len(licences(embedded)) == pictures == len(LICENCES) - 1
    style = {"photographs": embedded, "style": {"name": "skimage/data/ihc.png", "sha256": "1"}, "loss_network": None}
    assert len(licences(style)) == pictures + 1
    own = licences({"train": "ab" * 32, "validation": "carved", "test": embedded, "channels": 1})
    assert len(own) == 2 + len(PHOTOGRAPHS.test)
    assert own[:2] == [
        "train: the user's own files (digest abababababab…); their licence is not known",
        "validation: a tenth of train",
    ]
