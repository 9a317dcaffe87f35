"""Networks of the user's own: by name from torchvision and timm, from a module, from another package."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from my_networks import Generator
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from distillbench.bench.export.trained_network import pair_of
from distillbench.bench.run.jobs import Job, execute
from distillbench.bench.store.fingerprint import _code
from distillbench.bench.store.records import Store
from distillbench.bench.suite.cells import Cell
from distillbench.bench.training import contract
from distillbench.bench.training.determinism import settled
from distillbench.common.errors import UserError
from distillbench.tasks.base import Role
from support.own_pairs import module, pair
from support.paths import PLUGIN, USER
from support.processes import Run

# -- a pair of torchvision, from one file to the table -----------------------------------------------------------------


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Class folders: 24 small colour images of two classes."""
    rng = torch.Generator().manual_seed(0)
    for name, level in {"dark": 60, "light": 190}.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(24):
            noise = torch.randint(-50, 50, (12, 12, 3), generator=rng)
            Image.fromarray((level + noise).byte().numpy()).save(tmp_path / "images" / name / f"{i:02d}.png")
    return tmp_path / "images"


def test_a_pair_of_torchvision_on_class_folders_from_one_file_to_the_table(
    cli: Run, tmp_path: Path, faces: Path
) -> None:
    (tmp_path / "own.toml").write_text(f"""
        seeds = [0]
        methods = ["scratch", "temperature"]
        [tasks.classification]
        pairs = ["own"]
        data = {{ train = "{faces}" }}
        batch_size = 8
        [tasks.classification.pair.own]
        steps = 3
        teacher = {{ network = {{ name = "torchvision", model = "resnet18" }}, steps = 4, input_size = 32 }}
        student = {{ network = {{ name = "torchvision", model = "mobilenet_v3_small" }} }}
    """)
    done = cli("run", tmp_path / "own.toml", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    sizes = {r.label: r.size for r in Store(tmp_path / "out") if r.size}
    models = torchvision.models.resnet18(num_classes=2), torchvision.models.mobilenet_v3_small(num_classes=2)
    for label, model in zip(("teacher", "temperature"), models, strict=True):
        assert sizes[label].parameters == sum(p.numel() for p in model.parameters())
    assert "temperature" in cli("table", tmp_path / "out").stdout


def test_timm_by_name() -> None:
    timm = pytest.importorskip("timm")
    own_pair = pair("classification", student={"network": {"name": "timm", "model": "resnet10t"}})
    model = contract.build(own_pair.build(), "student")
    expected = timm.create_model("resnet10t", num_classes=10, in_chans=1)
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in expected.named_parameters()}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({"name": "torchvision", "model": "resnet17"}, "student.network.model: unknown model 'resnet17'; did you mean"),
        ({"name": "timm", "model": "resnet10"}, "student.network.model: unknown model 'resnet10'; did you mean"),
        ({"name": "fsrcnn"}, "student.network.name: 'fsrcnn' is not of the kind 'classifier'; did you mean"),
        ({"name": "onnx", "file": "x.onnx"}, "x.onnx"),
        (
            {"name": "timm", "model": "resnet18", "arguments": {"checkpoint_path": "x.pth"}},
            "checkpoint_path is not allowed",
        ),
        (
            {"name": "torchvision", "arguments": {"weights": "DEFAULT"}},
            "weights is not allowed: teacher.weights takes",
        ),
        ({"name": "module", "factory": "no colon"}, "student.network.factory: string should match"),
    ],
)
def test_a_wrong_name_is_refused_when_the_suite_is_read(network: Mapping[str, Any], expected: str) -> None:
    with pytest.raises(UserError) as error:
        pair("classification", student={"network": network})
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillbench.tasks.networks.timm.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"timm is not installed: pip install 'distillbench\[timm\]'"):
        pair("classification", student={"network": {"name": "timm", "model": "resnet18"}})


# -- a module ----------------------------------------------------------------------------------------------------------


def test_a_factory_gets_what_it_asks_for_by_name() -> None:
    assert contract.build(pair("classification", student=module("classifier")).build(), "student")[1].out_features == 10  # type: ignore[index]
    generator = contract.build(pair("gan", latent=5, student=module("Generator", hidden=7)).build(), "student")
    assert isinstance(generator.generator, Generator)
    assert generator.generator.body[0].in_features == 5
    assert generator.generator.body[0].out_features == 7
    upscaler = contract.build(pair("super_resolution", scale=3, student=module("upscaler")).build(), "student")
    assert upscaler(torch.zeros(1, 1, 4, 5)).shape == (1, 1, 12, 15)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("raises", "student.network: my_networks:raises raised ValueError: no such thing"),
        ("number", "student.network: my_networks:number returned a value of type int (expected torch.nn.Module)"),
        ("smaller", "student.network: returns 2×62×62 for an input of 1×64×64 (expected 1×64×64"),
        ("whole_numbers", "student.network: returns int64 (expected floating-point numbers)"),
        ("two_outputs", "student.network: returns a value of type tuple (expected one tensor)"),
        ("classifier", "student.network: my_networks:classifier raised TypeError"),
        ("nothing", "student.network: my_networks has no attribute 'nothing'"),
        ("kept", "student.network: is the same module at each call, so that students would share weight"),
        ("other_generator", "student.network: has other weights each time, with equal seeds (weight)"),
        ("lazy", "student.network: has lazy modules, whose size the first input decides"),
        ("without_weights", "student.network: has no weights to train"),
        ("multiples_of_four", "student.network: returns 1×44×48 for an input of 1×45×51"),
        ("two_in_training", "student.network: cannot be trained: a step on a batch of 8 failed (TypeError"),
        ("ForInference", "student.network: cannot be trained: a step on a batch of 8 failed"),
        ("scripted", "student.network: is TorchScript, which is neither counted nor exported"),
        ("seeds_itself", "student.network: starts from equal weights whatever the seed (weight)"),
        (
            "loads_weights",
            "student.network: starts from equal weights whatever the seed (weight): do not seed",
        ),
        ("leaves", "student.network: my_networks:leaves raised SystemExit"),
    ],
)
def test_a_factory_that_is_no_good_is_refused_before_anything_is_trained(
    cli: Run, tmp_path: Path, factory: str, expected: str
) -> None:
    with pytest.raises(UserError) as error:
        contract.build(pair("denoising", student=module(factory)).build(), "student")
    assert str(error.value).startswith(expected)
    assert "\n" not in str(error.value)
    if factory == "smaller":  # as a user sees it
        suite = tmp_path / "own.toml"
        suite.write_text(
            "seeds = [0]\nsteps = 2\n[tasks.denoising]\n"
            'student = { network = { name = "module", factory = "my_networks:smaller" } }\n'
        )
        done = cli("run", suite, "--out", tmp_path / "out", env=os.environ | {"PYTHONPATH": str(USER)})
        assert done.returncode == 2
        assert f"tasks.denoising.{expected}" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list((tmp_path / "out").glob("records/**/*.json"))


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("how", ["subtracts", "clamps", "through data", "in training"])
def test_a_network_that_writes_to_its_input_is_refused_before_anything_is_trained(how: str, role: Role) -> None:
    """Others share it: a student would train on what another has made of the batch, and its loss be of that."""
    own_pair = pair("denoising", **{role: module("WritesInput", how=how)})
    with pytest.raises(UserError, match=rf"{role}\.network: writes to its input in place, which others share"):
        contract.build(own_pair.build(), role)


@pytest.mark.parametrize(
    ("problem", "batch_size", "expected"),
    [
        ("", 1, "cannot be trained: a step on a batch of 1 failed (ValueError: Expected more than 1 value per channel"),
        (
            "in place",
            64,
            "cannot be trained: a step on a batch of 64 failed (RuntimeError: one of the variables",
        ),
        ("no gradient", 64, "cannot be trained: a step on a batch of 64 failed (RuntimeError: element 0 of tensors"),
        ("fixed batch", 64, "cannot take an input of 1×8×8 (RuntimeError: shape '[64, 64]' is invalid"),
        ("softmax", 64, "returns probabilities, rows that sum to 1 (expected logits, without a softmax at the end)"),
    ],
)
def test_a_step_of_the_real_size_is_tried_before_an_hour_is_spent(problem: str, batch_size: int, expected: str) -> None:
    own_pair = pair("classification", student=module("FromPixels", problem=problem), batch_size=batch_size)
    with pytest.raises(UserError) as error:
        contract.build(own_pair.build(), "student")
    assert str(error.value).startswith(f"student.network: {expected}")


@pytest.mark.parametrize(("batch", "expected"), [(2, "a batch of one input of 1×8×8"), (1, "an input of 1×8×8")])
def test_a_fixed_batch_is_refused_though_it_is_the_one_that_is_tried(batch: int, expected: str) -> None:
    student = module("FromPixels", problem="fixed batch", batch=batch)
    with pytest.raises(UserError, match=f"cannot take {expected}"):
        contract.build(pair("classification", student=student, batch_size=batch).build(), "student")


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("one_verdict", r"has a discriminator that does not return features .* and logits"),
        ("Discriminator", r"a discriminator writes to 'images' in place"),
    ],
)
def test_a_discriminator_that_is_no_good_is_refused(factory: str, expected: str) -> None:
    discriminator = module(factory)["network"]
    task = pair("gan", discriminator=discriminator).build()
    with pytest.raises(UserError, match=expected):
        contract.build(task, "teacher")


def test_a_module_with_tensors_of_its_own_is_imported_as_usual() -> None:
    """Sizes are looked at on the meta device, on which nothing of the user's may be imported."""
    sys.modules.pop("my_networks", None)
    own_pair = pair("denoising", student=module("Shifts"))
    assert bool(torch.isfinite(contract.build(own_pair.build(), "student")(torch.rand(1, 1, 16, 16))).all())


def test_what_a_factory_prints_is_no_output_of_the_program(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "own.toml"
    suite.write_text(
        'seeds = [0]\n[tasks.denoising]\nstudent = { network = { name = "module", factory = "my_networks:prints" } }\n'
    )
    environment = os.environ | {"PYTHONPATH": str(USER)}
    printed = cli("config", suite, env=environment).stdout
    assert "hello" not in printed
    assert "my_networks:prints" in printed


def test_the_code_of_a_module_is_part_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (USER / "my_networks.py").read_text()
    monkeypatch.syspath_prepend(tmp_path)

    def digest(main: str, helper: str) -> str:
        (tmp_path / "mine.py").write_text(main)
        (tmp_path / "beside.py").write_text(helper)
        _code.cache_clear()  # a new process
        config = pair("denoising", student={"network": {"name": "module", "factory": "mine:denoiser"}}).config
        return str(config["settings"]["student"]["network"]["code"])

    main = "import beside\n" + source
    before = digest(main, "A = 1\n")
    assert before.startswith("sha256:")
    assert digest(main + "\n# a comment\n", "A = 1  # so\n") == before
    assert digest(main + "\nWIDTH = 3\n", "A = 1\n") != before
    assert digest(main, "A = 2\n") != before, "a module beside it, which it imports"
    assert digest(main, "A = 1\n") == before


def test_a_change_of_a_discriminator_is_seen_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "judging.py").write_text((USER / "my_networks.py").read_text())
    own_pair = pair("gan", discriminator={"name": "module", "factory": "judging:one_verdict"})
    job = Job("references", "baseline", own_pair, (), "shared", tmp_path, tmp_path)
    assert own_pair.config["settings"]["discriminator"]["code"].startswith("sha256:")
    (tmp_path / "judging.py").write_text("WIDTH = 3\n" + (USER / "my_networks.py").read_text())
    with settled(), pytest.raises(RuntimeError, match=r"the code of discriminator was changed during the run"):
        execute(job, lambda step, steps: None)


def test_a_change_while_a_run_goes_on_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "live.py").write_text((USER / "my_networks.py").read_text())
    own_pair = pair("denoising", student={"network": {"name": "module", "factory": "live:denoiser"}})
    cell = Cell("baseline", own_pair, "noisy input", 0, 0)
    job = Job("references", "baseline", own_pair, (cell,), "shared", tmp_path, tmp_path)
    with settled():
        assert execute(job, lambda step, steps: None)[0].status == "finished"
        (tmp_path / "live.py").write_text("WIDTH = 3\n" + (USER / "my_networks.py").read_text())
        with pytest.raises(RuntimeError, match=r"the code of student\.network was changed during the run"):
            execute(job, lambda step, steps: None)


def test_a_file_of_weights_that_is_replaced_is_another_configuration(
    tmp_path: Path, resnet: tuple[nn.Module, Path]
) -> None:
    _, weights = resnet
    recipe = {"network": {"name": "torchvision"}, "weights": str(weights)}
    before = pair("classification", teacher=recipe).teacher_hash(0)
    save_file(torchvision.models.resnet18(num_classes=10).state_dict(), weights)
    assert pair("classification", teacher=recipe).teacher_hash(0) != before


def test_a_record_from_elsewhere_runs_no_code_that_it_names(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "own.toml"
    suite.write_text(
        'seeds = [0]\nsteps = 2\nmethods = ["scratch"]\n[tasks.classification]\n[tasks.denoising]\n'
        'student = { network = { name = "module", factory = "my_networks:denoiser" } }\n'
    )
    environment = os.environ | {"PYTHONPATH": str(USER)}
    assert cli("run", suite, "--out", tmp_path / "out", env=environment).returncode == 0
    path = tmp_path / "out/records/denoising/dncnn/scratch/seed-0.json"
    done = cli("export", path, "-o", tmp_path / "onnx", env=environment)
    assert done.returncode == 2
    assert "'my_networks:denoiser' would be imported and run: confirm it with --set student.network.factory" in (
        done.stderr
    )
    factory_setting = ["--set", "student.network.factory=my_networks:denoiser"]
    assert cli("export", path, "-o", tmp_path / "onnx", *factory_setting, env=environment).returncode == 0
    quick = ["--task", "denoising", "--backends", "eager", "--precisions", "float32", "--batch", "1", "--launches", "1"]
    done = cli("time", tmp_path / "out", *quick, *factory_setting, env=environment)
    assert done.returncode == 0, "of one task alone: the other has no such factory" + done.stderr
    # Nor does one say another factory than it was made with.
    (record,) = (r for r in Store(tmp_path / "out") if (r.task, r.kind) == ("denoising", "student"))
    with pytest.raises(UserError, match=r"made with different settings: settings\.student\.network"):
        pair_of(record, {"student": {"network": {"factory": "my_networks:number"}}})


# -- a plugin ----------------------------------------------------------------------------------------------------------


def test_a_network_of_another_package_is_found_by_name(cli: Run, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(PLUGIN)}
    listed = cli("list", "networks", env=environment).stdout
    assert re.search(r"shallow +One layer of neurons between pixels and classes\.", listed)
    (tmp_path / "own.toml").write_text(
        'seeds = [0]\nsteps = 3\nmethods = ["scratch"]\n[tasks.classification]\n'
        'student = { network = { name = "shallow", units = 5 } }\n'
    )
    assert cli("run", tmp_path / "own.toml", "--out", tmp_path / "out", env=environment).returncode == 0
    record = json.loads((tmp_path / "out/records/classification/cnn_mlp/scratch/seed-0.json").read_text())
    assert record["size"]["parameters"] == 64 * 5 + 5 + 5 * 10 + 10
