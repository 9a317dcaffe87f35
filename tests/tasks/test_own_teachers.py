"""Teachers that are trained already: from a file of weights, in units of their own, or an ONNX file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torchvision
from torch import nn

from distillbench.bench.measure.onnx_export import export
from distillbench.bench.run.execution import Execution
from distillbench.bench.run.plan import plan
from distillbench.bench.run.runner import run
from distillbench.bench.store.records import Store
from distillbench.bench.suite.resolve import load
from distillbench.bench.training import contract
from distillbench.bench.training.loop import initial, train_students
from distillbench.bench.training.pretrained import load_pretrained
from distillbench.common.errors import UserError
from distillbench.methods.mimic import Mimic
from distillbench.tasks.base import read_only
from distillbench.tasks.views.units import Preprocessed
from support.own_pairs import module, pair
from support.processes import Run

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


# -- units -------------------------------------------------------------------------------------------------------------


def test_each_network_sees_the_same_view_in_its_own_units(resnet: tuple[nn.Module, Path]) -> None:
    inner, weights = resnet
    recipe = {"network": {"name": "torchvision", "model": "resnet18"}, "input_size": 24, "weights": str(weights)}
    task = pair("classification", teacher={**recipe, "normalise": IMAGENET}).build()
    teacher = initial(task, "teacher", 0)
    load_pretrained(teacher, weights)
    images = task.shared_inputs(range(6), torch.Generator().manual_seed(0), augment=True)["images"]
    resized = torchvision.transforms.functional.resize(images, [24, 24], antialias=True)
    normalised = torchvision.transforms.functional.normalize(
        resized.repeat(1, 3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    assert torch.allclose(teacher.eval()(images), inner(normalised), atol=1e-5)
    assert isinstance(teacher, Preprocessed)
    assert images.shape[1:] == (1, 8, 8)


def test_a_normalisation_of_other_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"teacher.normalise: mean has 2 channels, std 3"):
        pair("classification", teacher={"normalise": {"mean": [0.5, 0.5], "std": [0.5, 0.5, 0.5]}})
    with pytest.raises(UserError, match=r"teacher.normalise.std: missing"):
        pair("classification", teacher={"normalise": {"mean": [0.5]}})
    normalise = {"mean": [0.5, 0.5], "std": [0.5, 0.5]}
    with pytest.raises(UserError, match=r"teacher.network: normalise: has 2 channels, but the images have 1 .*1 or 3"):
        contract.build(pair("classification", teacher={"normalise": normalise}).build(), "teacher")


# -- pretrained teachers -----------------------------------------------------------------------------------------------


def test_a_pretrained_teacher_is_used_as_it_is(cli: Run, tmp_path: Path, resnet: tuple[nn.Module, Path]) -> None:
    inner, _ = resnet
    torch.save({"state_dict": {f"module.{k}": v for k, v in inner.state_dict().items()}}, tmp_path / "resnet18.pth")
    records = {}
    for file in ("resnet18.safetensors", "resnet18.pth"):
        suite = tmp_path / "own.toml"
        suite.write_text(
            f'seeds = [0]\nsteps = 2\nmethods = ["scratch", "mimic"]\n[tasks.classification]\n'
            f'teacher = {{ network = {{ name = "torchvision" }}, weights = "{tmp_path / file}" }}\n'
        )
        out = tmp_path / file.replace(".", "-")
        done = cli("run", suite, "--out", out)
        assert done.returncode == 0, done.stderr
        records[file] = {r.label: r for r in Store(out)}
        assert "teacher (pretrained)" in cli("table", out).stdout
    first, second = (cells["teacher"] for cells in records.values())
    assert first.training is None
    assert first.metrics == second.metrics
    assert first.config["settings"]["teacher"]["weights"] != second.config["settings"]["teacher"]["weights"]
    assert first.weights_sha256 == second.weights_sha256
    task = pair("classification").build()
    images = task.splits.test
    logits = inner((images.images.float() / 255).expand(-1, 3, -1, -1))
    accuracy = 100 * (logits.argmax(1) == images.labels).float().mean().item()
    assert first.metrics["accuracy"].value == pytest.approx(accuracy)


@pytest.mark.parametrize(("methods", "refused"), [(("mimic",), False), (("mimic", "cross_model"), True)])
def test_a_teacher_that_is_trained_already_need_not_be_trainable(
    tmp_path: Path, methods: tuple[str, ...], refused: bool
) -> None:
    """Frozen, or with further outputs in train mode, as those of GoogLeNet: tried in eval mode, where it is used."""
    torch.save({"head.weight": torch.randn(10, 64), "head.bias": torch.zeros(10)}, tmp_path / "frozen.pth")
    teacher = {**module("Frozen"), "weights": str(tmp_path / "frozen.pth")}
    suite = load({"seeds": [0], "steps": 2, "methods": methods, "tasks": {"classification": {"teacher": teacher}}})
    if refused:
        with pytest.raises(UserError, match=r"teacher\.network: has no weights to train"):
            run(plan(suite, tmp_path / "out"), Execution(workers=1))
    else:
        done = run(plan(suite, tmp_path / "out"), Execution(workers=1))
        assert not done.failed
        assert len(done.finished) == 3


def test_weights_that_do_not_fit_are_refused(tmp_path: Path, resnet: tuple[nn.Module, Path]) -> None:
    inner, _ = resnet
    state = inner.state_dict()
    torch.save({k: v for k, v in state.items() if "layer4" not in k}, tmp_path / "short.pth")
    torch.save(state | {"fc.weight": torch.zeros(1000, 512)}, tmp_path / "imagenet.pth")
    torch.save(state | {"head.weight": torch.zeros(1)}, tmp_path / "more.pth")
    expected = {
        "short.pth": "lacks layer4.0.conv1.weight, layer4.0.bn1.weight, and",
        "imagenet.pth": "fc.weight is 1000×512 (expected 10×512)",
        "more.pth": "has extra head.weight",
    }
    for file, message in expected.items():
        with pytest.raises(UserError) as error:
            load_pretrained(torchvision.models.resnet18(num_classes=10), tmp_path / file)
        start = f"teacher.weights: {tmp_path / file} holds the weights of another network: {message}"
        assert str(error.value).startswith(start), file
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"student": {"weights": "{file}"}}, "student.weights: a student starts from drawn weights"),
        ({"teachers": "per-seed", "teacher": {"weights": "{file}"}}, "comes from a file (allowed: 'shared')"),
        ({"teacher": {"weights": "nowhere.pth"}}, "teacher.weights: nowhere.pth cannot be read"),
    ],
)
def test_what_cannot_be_pretrained_is_said(
    settings: dict[str, Any], expected: str, resnet: tuple[nn.Module, Path]
) -> None:
    text = json.dumps(settings).replace("{file}", str(resnet[1]))
    table = json.loads(text)
    whole = {"teachers": table.pop("teachers", "shared"), "tasks": {"classification": table}}
    with pytest.raises(UserError) as error:
        load(whole)
    assert expected in str(error.value)


# -- a teacher in ONNX -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx_teacher(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """The digits' own teacher, untrained: as a module and as a file."""
    model = read_only(initial(pair("classification").build(), "teacher", 0))
    conversion = export(model, torch.rand(1, 1, 8, 8), [torch.rand(2, 1, 8, 8)])
    assert conversion.failure is None
    path = tmp_path_factory.mktemp("onnx") / "teacher.onnx"
    path.write_bytes(conversion.content)
    return model, path


def test_a_teacher_in_onnx_teaches_as_the_network_that_it_was(onnx_teacher: tuple[nn.Module, Path]) -> None:
    eager, path = onnx_teacher
    task = pair("classification", teacher={"network": {"name": "onnx", "file": str(path)}}).build()
    onnx_teacher = contract.build(task, "teacher", trained=False)
    students = {}
    for name, teacher in {"eager": eager, "onnx": onnx_teacher}.items():
        students[name] = train_students(task, {"trained": read_only(teacher)}, {"mimic": Mimic()}, 0)["mimic"]
        assert students[name].failure is None
    assert students["onnx"].distillation == pytest.approx(students["eager"].distillation, rel=1e-4)
    for weight, counterpart in zip(*(s.model.parameters() for s in students.values()), strict=True):
        assert torch.allclose(weight, counterpart, atol=1e-4)


def test_a_file_whose_weights_lie_beside_it_is_refused(onnx_teacher: tuple[nn.Module, Path], tmp_path: Path) -> None:
    """No digest of the file would know them."""
    model = onnx.load(onnx_teacher[1])
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    own_pair = pair("classification", teacher={"network": {"name": "onnx", "file": str(tmp_path / "split.onnx")}})
    with pytest.raises(UserError, match=r"split\.onnx stores .* in another file \(allowed: all in one file\)"):
        contract.build(own_pair.build(), "teacher", trained=False)


@pytest.mark.parametrize("method", ["cross_model", "random_teacher"])
def test_methods_that_need_its_weights_are_refused_with_the_reason(
    method: str, onnx_teacher: tuple[nn.Module, Path]
) -> None:
    with pytest.raises(UserError, match=rf"methods: '{method}' .* has no weights to train: leave the method out"):
        pair("classification", ("scratch", method), teacher={"network": {"name": "onnx", "file": str(onnx_teacher[1])}})


def test_a_file_with_other_inputs_is_refused(onnx_teacher: tuple[nn.Module, Path], tmp_path: Path) -> None:
    _, path = onnx_teacher
    (tmp_path / "noise.onnx").write_bytes(b"no graph")
    own_pair = pair("super_resolution", teacher={"network": {"name": "onnx", "file": str(path)}})
    with pytest.raises(UserError, match=r"teacher.network: cannot take an input of 1×64×64"):
        contract.build(own_pair.build(), "teacher", trained=False)
    noise = pair("classification", teacher={"network": {"name": "onnx", "file": str(tmp_path / "noise.onnx")}})
    with pytest.raises(UserError, match=r"teacher.network: .*noise.onnx cannot be read as an ONNX file"):
        contract.build(noise.build(), "teacher", trained=False)
    with pytest.raises(UserError, match=r"student.network: has no weights to train"):
        pair("classification", student={"network": {"name": "onnx", "file": str(path)}})
    with pytest.raises(UserError, match=r"'onnx' is not of the kind 'generator'"):
        pair("gan", teacher={"network": {"name": "onnx", "file": str(path)}})


def test_a_teacher_in_onnx_is_timed_and_its_records_hold(
    cli: Run, tmp_path: Path, onnx_teacher: tuple[nn.Module, Path]
) -> None:
    suite = tmp_path / "own.toml"
    suite.write_text(
        'name = "own"\nseeds = [0]\nsteps = 2\nmethods = ["scratch"]\n[tasks.classification]\n'
        f'teacher = {{ network = {{ name = "onnx", file = "{onnx_teacher[1]}" }} }}\n'
    )
    out = tmp_path / "out"
    assert cli("run", suite, "--out", out).returncode == 0
    ways = ["--backends", "eager,onnxruntime", "--precisions", "float32", "--batch", "1", "--launches", "1"]
    timed = cli("time", suite, "--out", out, *ways)
    assert timed.returncode == 0, timed.stderr
    assert "is an ONNX file itself" in timed.stdout
    table = json.loads(cli("table", out, "--format", "json").stdout)
    assert "speedup" in json.dumps(table)
    (record,) = (r for r in Store(out) if r.kind == "teacher")
    assert (record.size, record.weights_sha256, record.training) == (None, None, None)
    findings = cli("validate", out, "--suite", suite)
    assert re.search(r"^complete +passed", findings.stdout, re.MULTILINE), findings.stdout
    assert re.search(r"^size +passed", findings.stdout, re.MULTILINE)
    exported = cli(
        "export", out / record.path, "-o", tmp_path / "x", "--set", f"teacher.network.file={onnx_teacher[1]}"
    )
    assert exported.returncode == 2
    assert "its network is a file already" in exported.stderr
