"""Networks of the user's own: by name from torchvision and timm, from a module, from a file of weights or of ONNX."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import torchvision
from conftest import Run
from my_networks import Generator
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from bench import contract
from bench.architecture import OF_TRAINING
from bench.cells import Cell, Pair
from bench.deployed import pair_of
from bench.digests import _code
from bench.errors import UserError
from bench.examination import examine, pair_with
from bench.jobs import Job, execute, settled
from bench.measure.export import export
from bench.records import Store
from bench.suite import load
from bench.training import initial, train_students
from methods.mimic import Mimic
from tasks.base import Recipe, read_only
from tasks.views.units import InItsUnits

TESTS = Path(__file__).parent
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def pair(task: str, methods: tuple[str, ...] = ("scratch",), **settings: Any) -> Pair:
    """The first pair of a task with some settings."""
    suite = load({"methods": methods, "seeds": [0], "steps": 5, "tasks": {task: settings}})
    return suite.entries[0].pair


def module(factory: str, **arguments: Any) -> dict[str, Any]:
    return {"network": {"name": "module", "factory": f"my_networks:{factory}", "arguments": arguments}}


@pytest.fixture
def resnet(tmp_path: Path) -> tuple[nn.Module, Path]:
    """torchvision's resnet18 for the ten digits, in grey through three channels; and its weights in a file."""
    torch.manual_seed(3)
    model = torchvision.models.resnet18(num_classes=10)
    save_file(model.state_dict(), tmp_path / "resnet18.safetensors")
    return read_only(model), tmp_path / "resnet18.safetensors"


# -- a pair of torchvision, from one file to the table ---------------------------------------------------------------


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
    its = torchvision.models.resnet18(num_classes=2), torchvision.models.mobilenet_v3_small(num_classes=2)
    for label, model in zip(("teacher", "temperature"), its, strict=True):
        assert sizes[label].parameters == sum(p.numel() for p in model.parameters())
    assert "temperature" in cli("table", tmp_path / "out").stdout


def test_timm_by_name() -> None:
    timm = pytest.importorskip("timm")
    its = pair("classification", student={"network": {"name": "timm", "model": "resnet10t"}})
    model = contract.build(its.build(), "student")
    expected = timm.create_model("resnet10t", num_classes=10, in_chans=1)
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in expected.named_parameters()}


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ({"name": "torchvision", "model": "resnet17"}, "student.network.model: unknown model 'resnet17'; did you mean"),
        ({"name": "timm", "model": "resnet10"}, "student.network.model: unknown model 'resnet10'; did you mean"),
        ({"name": "fsrcnn"}, "student.network.name: no classifier: 'fsrcnn'; did you mean"),
        ({"name": "onnx", "file": "x.onnx"}, "x.onnx"),
        (
            {"name": "timm", "model": "resnet18", "arguments": {"checkpoint_path": "x.pth"}},
            "checkpoint_path is not taken",
        ),
        (
            {"name": "torchvision", "arguments": {"weights": "DEFAULT"}},
            "weights is not taken: trained weights are given",
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
    monkeypatch.setattr("tasks.networks.timm.find_spec", lambda name: None)
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
        ("number", "student.network: my_networks:number returned an int, no torch.nn.Module"),
        ("smaller", "student.network: puts out 2×62×62 for an input of 1×64×64 (allowed: 1×64×64"),
        ("whole_numbers", "student.network: puts out int64, not floating-point numbers"),
        ("two_outputs", "student.network: puts out tuple, not one tensor"),
        ("classifier", "student.network: my_networks:classifier raised TypeError"),
        ("nothing", "student.network: my_networks has no nothing"),
        ("kept", "student.network: is the same module each time, and students would share weight, bias"),
        ("other_generator", "student.network: is another each time at weight: draw weights from torch's generator"),
        ("lazy", "student.network: has layers whose size an input decides (lazy modules)"),
        ("without_weights", "student.network: has no weights to train"),
        ("multiples_of_four", "student.network: puts out 1×44×48 for an input of 1×45×51"),
        ("two_in_training", "student.network: cannot be trained: a pass in train mode, or its loss, failed"),
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
        done = cli("run", suite, "--out", tmp_path / "out", env=os.environ | {"PYTHONPATH": str(TESTS)})
        assert done.returncode == 2
        assert f"tasks.denoising.{expected}" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list((tmp_path / "out").glob("records/**/*.json"))


def test_a_discriminator_that_is_no_good_is_refused() -> None:
    discriminator = module("one_verdict")["network"]
    with pytest.raises(UserError, match=r"its discriminator puts out no pair of features .* and logits"):
        contract.build(pair("gan", discriminator=discriminator).build(), "teacher")


def test_a_module_with_tensors_of_its_own_is_imported_as_usual() -> None:
    """Sizes are looked at on the meta device, on which nothing of the user's may be imported."""
    sys.modules.pop("my_networks", None)
    its = pair("denoising", student=module("Shifts"))
    assert bool(torch.isfinite(contract.build(its.build(), "student")(torch.rand(1, 1, 16, 16))).all())


def test_what_a_factory_prints_is_no_output_of_the_program(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "own.toml"
    suite.write_text(
        'seeds = [0]\n[tasks.denoising]\nstudent = { network = { name = "module", factory = "my_networks:prints" } }\n'
    )
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    shown = cli("config", suite, env=environment).stdout
    assert "hello" not in shown
    assert "my_networks:prints" in shown


def test_the_code_of_a_module_is_part_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (TESTS / "my_networks.py").read_text()
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
    (tmp_path / "judging.py").write_text((TESTS / "my_networks.py").read_text())
    its = pair("gan", discriminator={"name": "module", "factory": "judging:one_verdict"})
    job = Job("references", "reference", its, (), "shared", tmp_path, tmp_path)
    assert its.config["settings"]["discriminator"]["code"].startswith("sha256:")
    (tmp_path / "judging.py").write_text("WIDTH = 3\n" + (TESTS / "my_networks.py").read_text())
    with settled(), pytest.raises(RuntimeError, match=r"the code of discriminator was changed while the run went on"):
        execute(job, lambda step, steps: None)


def test_a_change_while_a_run_goes_on_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "live.py").write_text((TESTS / "my_networks.py").read_text())
    its = pair("denoising", student={"network": {"name": "module", "factory": "live:denoiser"}})
    cell = Cell("reference", its, "noisy input", 0, 0)
    job = Job("references", "reference", its, (cell,), "shared", tmp_path, tmp_path)
    with settled():
        assert execute(job, lambda step, steps: None)[0].status == "finished"
        (tmp_path / "live.py").write_text("WIDTH = 3\n" + (TESTS / "my_networks.py").read_text())
        with pytest.raises(RuntimeError, match=r"the code of student\.network was changed while the run went on"):
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
        'seeds = [0]\nsteps = 2\nmethods = ["scratch"]\n[tasks.denoising]\n'
        'student = { network = { name = "module", factory = "my_networks:denoiser" } }\n'
    )
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    assert cli("run", suite, "--out", tmp_path / "out", env=environment).returncode == 0
    path = tmp_path / "out/records/denoising/dncnn/scratch/seed-0.json"
    done = cli("export", path, "-o", tmp_path / "onnx", env=environment)
    assert done.returncode == 2
    assert "'my_networks:denoiser' would be imported and run: say it again with --set student.network.factory" in (
        done.stderr
    )
    given = ["--set", "student.network.factory=my_networks:denoiser"]
    assert cli("export", path, "-o", tmp_path / "onnx", *given, env=environment).returncode == 0
    # Nor does one say another factory than it was made with.
    (record,) = (r for r in Store(tmp_path / "out") if r.kind == "student")
    with pytest.raises(UserError, match=r"made with other settings: settings\.student\.network"):
        pair_of(record, {"student": {"network": {"factory": "my_networks:number"}}})


# -- a plugin ----------------------------------------------------------------------------------------------------------


def test_a_network_of_another_package_is_found_by_name(cli: Run, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(TESTS / "plugin")}
    listed = cli("list", "networks", env=environment).stdout
    assert re.search(r"shallow +One layer of neurons between pixels and classes\.", listed)
    (tmp_path / "own.toml").write_text(
        'seeds = [0]\nsteps = 3\nmethods = ["scratch"]\n[tasks.classification]\n'
        'student = { network = { name = "shallow", units = 5 } }\n'
    )
    assert cli("run", tmp_path / "own.toml", "--out", tmp_path / "out", env=environment).returncode == 0
    record = json.loads((tmp_path / "out/records/classification/cnn_mlp/scratch/seed-0.json").read_text())
    assert record["size"]["parameters"] == 64 * 5 + 5 + 5 * 10 + 10


# -- units -------------------------------------------------------------------------------------------------------------


def test_each_network_sees_the_same_view_in_its_own_units(resnet: tuple[nn.Module, Path]) -> None:
    inner, weights = resnet
    recipe = {"network": {"name": "torchvision", "model": "resnet18"}, "input_size": 24, "weights": str(weights)}
    its = pair("classification", teacher={**recipe, "normalise": IMAGENET}).build()
    teacher = initial(its, "teacher", 0)
    contract.load_pretrained(teacher, weights)
    images = its.shared_inputs(range(6), torch.Generator().manual_seed(0), augment=True)["images"]
    resized = torchvision.transforms.functional.resize(images, [24, 24], antialias=True)
    normalised = torchvision.transforms.functional.normalize(
        resized.repeat(1, 3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    )
    assert torch.allclose(teacher.eval()(images), inner(normalised), atol=1e-5)
    assert isinstance(teacher, InItsUnits)
    assert images.shape[1:] == (1, 8, 8)


def test_a_normalisation_of_other_channels_is_refused() -> None:
    with pytest.raises(UserError, match=r"teacher.normalise: mean has 2 channels, std 3"):
        pair("classification", teacher={"normalise": {"mean": [0.5, 0.5], "std": [0.5, 0.5, 0.5]}})
    with pytest.raises(UserError, match=r"teacher.normalise.std: missing"):
        pair("classification", teacher={"normalise": {"mean": [0.5]}})
    normalise = {"mean": [0.5, 0.5], "std": [0.5, 0.5]}
    with pytest.raises(UserError, match=r"teacher.network: normalise: has 2 channels, the images have 1 .*1 or 3"):
        contract.build(pair("classification", teacher={"normalise": normalise}).build(), "teacher")


# -- pretrained teachers ---------------------------------------------------------------------------------------------


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
    one, other = (its["teacher"] for its in records.values())
    assert one.training is None
    assert one.metrics == other.metrics
    assert one.config["settings"]["teacher"]["weights"] != other.config["settings"]["teacher"]["weights"]
    assert one.weights_sha256 == other.weights_sha256
    task = pair("classification").build()
    images = task.splits.test
    logits = inner((images.images.float() / 255).expand(-1, 3, -1, -1))
    accuracy = 100 * (logits.argmax(1) == images.labels).float().mean().item()
    assert one.metrics["accuracy"].value == pytest.approx(accuracy)


class Evil:
    """Pickled, it would run a command when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_weights_that_do_not_fit_are_refused_and_no_code_in_them_is_run(
    tmp_path: Path, resnet: tuple[nn.Module, Path]
) -> None:
    inner, _ = resnet
    torch.save({"weight": Evil(tmp_path / "ran")}, tmp_path / "evil.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({}, tmp_path / "empty.pth")
    state = inner.state_dict()
    torch.save({k: v for k, v in state.items() if "layer4" not in k}, tmp_path / "short.pth")
    torch.save(state | {"fc.weight": torch.zeros(1000, 512)}, tmp_path / "imagenet.pth")
    torch.save(state | {"head.weight": torch.zeros(1)}, tmp_path / "more.pth")
    (tmp_path / "noise.safetensors").write_bytes(os.urandom(500))
    expected = {
        "evil.pth": "cannot be read as weights (neither safetensors nor a state dict without code in it)",
        "list.pth": "holds no state dict",
        "empty.pth": "holds no state dict",
        "short.pth": "holds the weights of another network: lacks layer4.0.conv1.weight, layer4.0.bn1.weight and",
        "imagenet.pth": "holds the weights of another network: fc.weight is 1000×512, here 10×512",
        "more.pth": "holds the weights of another network: has head.weight beside",
        "noise.safetensors": "cannot be read as weights",
        "nowhere.pth": "cannot be read (No such file or directory)",
    }
    for file, message in expected.items():
        with pytest.raises(UserError) as error:
            contract.load_pretrained(torchvision.models.resnet18(num_classes=10), tmp_path / file)
        assert str(error.value).startswith(f"teacher.weights: {tmp_path / file} {message}"), file
        assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


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
    found = export(model, torch.rand(1, 1, 8, 8), [torch.rand(2, 1, 8, 8)])
    assert found.failure is None
    path = tmp_path_factory.mktemp("onnx") / "teacher.onnx"
    path.write_bytes(found.content)
    return model, path


def test_a_teacher_in_onnx_teaches_as_the_network_that_it_was(onnx_teacher: tuple[nn.Module, Path]) -> None:
    eager, path = onnx_teacher
    task = pair("classification", teacher={"network": {"name": "onnx", "file": str(path)}}).build()
    its = contract.build(task, "teacher")
    students = {}
    for name, teacher in {"eager": eager, "onnx": its}.items():
        students[name] = train_students(task, read_only(teacher), {"mimic": Mimic()}, 0)["mimic"]
        assert students[name].failure is None
    assert students["onnx"].distillation == pytest.approx(students["eager"].distillation, rel=1e-4)
    for mine, other in zip(*(s.model.parameters() for s in students.values()), strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_a_file_whose_weights_lie_beside_it_is_refused(onnx_teacher: tuple[nn.Module, Path], tmp_path: Path) -> None:
    """No digest of the file would know them."""
    model = onnx.load(onnx_teacher[1])
    onnx.save(model, tmp_path / "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    its = pair("classification", teacher={"network": {"name": "onnx", "file": str(tmp_path / "split.onnx")}})
    with pytest.raises(UserError, match=r"split\.onnx keeps .* in another file \(allowed: all in one file\)"):
        contract.build(its.build(), "teacher")


@pytest.mark.parametrize("method", ["cross_model", "random_teacher"])
def test_methods_that_need_its_weights_are_refused_with_the_reason(
    method: str, onnx_teacher: tuple[nn.Module, Path]
) -> None:
    with pytest.raises(UserError, match=rf"methods: '{method}' .* has no weights to train: leave the method out"):
        pair("classification", ("scratch", method), teacher={"network": {"name": "onnx", "file": str(onnx_teacher[1])}})


def test_a_file_with_other_inputs_is_refused(onnx_teacher: tuple[nn.Module, Path], tmp_path: Path) -> None:
    _, path = onnx_teacher
    (tmp_path / "noise.onnx").write_bytes(b"no graph")
    its = pair("super_resolution", teacher={"network": {"name": "onnx", "file": str(path)}})
    with pytest.raises(UserError, match=r"teacher.network: cannot take an input of 1×64×64"):
        contract.build(its.build(), "teacher")
    noise = pair("classification", teacher={"network": {"name": "onnx", "file": str(tmp_path / "noise.onnx")}})
    with pytest.raises(UserError, match=r"teacher.network: .*noise.onnx cannot be read as an ONNX file"):
        contract.build(noise.build(), "teacher")
    with pytest.raises(UserError, match=r"student.network: has no weights to train"):
        pair("classification", student={"network": {"name": "onnx", "file": str(path)}})
    with pytest.raises(UserError, match=r"no generator: 'onnx'"):
        pair("gan", teacher={"network": {"name": "onnx", "file": str(path)}})


# -- check -------------------------------------------------------------------------------------------------------------


def verdicts(task: str, network: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {f.what: (f.verdict, f.text) for f in examine(*pair_with(task, network), Path("nowhere"))}


def test_a_good_network_passes_every_check() -> None:
    found = verdicts("denoising", {"name": "module", "factory": "my_networks:denoiser"})
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert found["size"][1].startswith("115 parameters, ")
    assert found["shapes"][1] == "1×64×64 → 1×64×64"


def test_what_is_wrong_with_a_network_is_found() -> None:
    around = verdicts("denoising", {"name": "module", "factory": "my_networks:LooksAround"})
    assert around["in eval mode"][0] == "no"
    assert "depends on the others of its batch" in around["in eval mode"][1]
    assert around["gradients"] == (
        "no",
        "none reaches unused.weight, unused.bias: they would stay as they are drawn",
    )
    draws = verdicts("denoising", {"name": "module", "factory": "my_networks:Draws"})
    assert draws["in eval mode"][0] == "no"
    assert "two passes over one batch differ" in draws["in eval mode"][1]


def test_check_says_so_and_its_exit_code_too(cli: Run, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    good = cli("check", "gan", "my_networks:Generator", env=environment)
    assert good.returncode == 0, good.stderr
    assert "shapes        ok  16 → 1×8×8" in good.stdout
    bad = cli("check", "denoising", "my_networks:smaller", env=environment)
    assert bad.returncode == 1
    assert bad.stdout.startswith("built  no  student.network: puts out 2×62×62")
    unknown = cli("check", "denoising", "dnccn")
    assert unknown.returncode == 2
    assert "unknown network 'dnccn'; did you mean 'dncnn'?" in unknown.stderr


def test_settings_of_training_are_no_part_of_an_architecture() -> None:
    assert set(Recipe.model_fields) | {"batch_size", "label_smoothing"} == OF_TRAINING


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
    assert "is an ONNX file of its own" in timed.stdout
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
