"""Files of weights: what may lie beside these, and what is said of a file that holds none, or code."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import os
import pickle
import sys
import types
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from distillbench.common.errors import DataError
from distillbench.tasks.feature_extractors.perceptual import VGG16, VGGExtractor
from support.teachers import STATE, equal, network, refusal, state_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "teacher.pth"


# -- what lies beside the weights -------------------------------------------------------------------------------------

BESIDE = {
    "arguments": argparse.Namespace(lr=0.1, output=Path("runs"), when=datetime.date(2024, 1, 2)),
    "paths": {Path("a"): [PureWindowsPath("a"), Path("b")]},
    "scalars of numpy": [np.float64(1), np.float32(1), np.int64(1), np.bool_(True), np.datetime64("2024-01-01")],
    "arrays of numpy": [np.ones(3), np.array(["a"]), np.array([None, {}], dtype=object), np.zeros((2, 2), ">f4")],
    "types of numpy": [np.dtype("f4"), np.float32, np.uint8],
    "random states of numpy": [np.random.default_rng(0), np.random.RandomState(0)],
    "times": [
        datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),  # noqa: UP017 -- the class is pickled
        datetime.timedelta(1),
        datetime.time(1),
    ],
    "containers": [
        collections.OrderedDict(a=1),
        collections.Counter("aab"),
        collections.deque([1, 2], 3),
        collections.defaultdict(list, a=[1]),
        collections.defaultdict(int),
        frozenset([1]),
        {1, 2},
        range(3),
        slice(1),
    ],
    "numbers": [decimal.Decimal("1.5"), 2**80, 1j],
    "names": [uuid.UUID(int=5), types.SimpleNamespace(a=1), bytearray(b"a"), b"a"],
    "torch": [torch.__version__, torch.Generator(), torch.get_rng_state(), torch.float16, torch.device("cpu")],
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("beside", BESIDE)
def test_what_trainers_keep_beside_the_weights_is_passed_over(path: Path, beside: str, legacy: bool) -> None:
    content = {"state_dict": STATE, "args": BESIDE[beside], "epoch": 3}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert equal(state_of(path), STATE)


def elsewhere(monkeypatch: pytest.MonkeyPatch, module: str, name: str, thing: Any) -> Any:
    """A class or function as if it were of a package."""
    for place in (module.partition(".")[0], module):
        monkeypatch.setitem(sys.modules, place, sys.modules.get(place) or types.ModuleType(place))
    monkeypatch.setattr(sys.modules[module], name, thing, raising=False)
    thing.__module__, thing.__name__, thing.__qualname__ = module, name, name
    return thing


@pytest.mark.parametrize(
    ("module", "name"), [("yacs.config", "CfgNode"), ("easydict", "EasyDict"), ("addict.addict", "Dict")]
)
def test_configurations_that_are_dictionaries_are_passed_over(
    path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    kind = elsewhere(monkeypatch, module, name, type(name, (dict,), {}))
    config = kind(lr=0.1, model=kind(depth=2))
    config.__dict__["frozen"] = True
    torch.save({"model": STATE, "config": config}, path)
    assert equal(state_of(path), STATE)


@pytest.mark.parametrize(
    ("module", "name"),
    [("numpy.core.multiarray", "scalar"), ("pathlib._local", "WindowsPath"), ("pathlib", "WindowsPath")],
)
def test_other_versions_and_systems_name_things_otherwise(
    path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    kind = elsewhere(monkeypatch, module, name, type(name, (), {}))
    torch.save({"model": STATE, "best": kind()}, path)
    assert equal(state_of(path), STATE)


class Code:
    """Pickled, it would run a function when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Averager(nn.Module):
    """A class of the trainer's."""


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize(("function", "name"), [(os.mkdir, "posix.mkdir"), (os.path.exists, "genericpath.exists")])
def test_what_holds_code_is_refused_by_its_name_and_not_run(
    path: Path, function: Callable[..., Any], name: str, legacy: bool
) -> None:
    ran = path.with_name("ran")
    torch.save({"a": Code(function, str(ran)), **STATE}, path, _use_new_zipfile_serialization=not legacy)
    assert refusal(path) == (
        f"holds objects beside the weights that are code and are not run ({name}): "
        "save the state dict alone: torch.save(model.state_dict(), FILE)"
    )
    assert not ran.exists()


def test_code_among_what_is_passed_over_is_not_run(path: Path) -> None:
    ran, before = path.with_name("ran"), torch.serialization.get_safe_globals()
    torch.save({"state_dict": STATE, "args": argparse.Namespace(hook=Code(Path.mkdir, ran)), "more": Averager()}, path)
    said = refusal(path)
    assert all(name in said for name in (f"{__name__}.Averager", "builtins.getattr"))
    assert not ran.exists()
    assert len(torch.serialization.get_safe_globals()) == len(before)  # what others of the process read stays as it was


# -- other files ------------------------------------------------------------------------------------------------------


def torch_file(content: object, **options: Any) -> bytes:
    path = Path(options.pop("folder"), "whole")
    torch.save(content, path, **options)
    return path.read_bytes()


def script(folder: Path) -> bytes:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 3), torch.ones(1, 2)), folder / "script")
    return (folder / "script").read_bytes()


def graph() -> bytes:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out]))
    return bytes(model.SerializeToString())


def safe(folder: Path) -> bytes:
    save_file(dict(STATE), folder / "safe")
    return (folder / "safe").read_bytes()


def arrays(folder: Path) -> bytes:
    np.savez(folder / "arrays.npz", a=np.ones(2))
    return (folder / "arrays.npz").read_bytes()


CUT = "is truncated or damaged: download it again"
OTHERS: Mapping[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda _: b"", "is empty: download it again"),
    "page": (lambda _: b"<!DOCTYPE html>\n<html><head>", "is a web page, as a failed download leaves one"),
    "page of capitals": (lambda _: b"\xef\xbb\xbf\n<HTML lang=en>", "is a web page, as a failed download leaves one"),
    "pointer": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n",
        "is a Git LFS pointer, not the file itself: fetch that (git lfs pull)",
    ),
    "text": (lambda _: b"Entry not found", "is text that begins 'Entry not found' (allowed: safetensors, or a state"),
    "index": (lambda _: b'{\n  "weight_map": {}\n}', "is text that begins '{   \"weight_map\": {} }'"),
    "cut short": (lambda folder: torch_file(STATE, folder=folder)[:-200], CUT),
    "cut short early": (lambda folder: torch_file(STATE, folder=folder)[:100], CUT),
    "cut short, legacy": (
        lambda folder: torch_file(STATE, folder=folder, _use_new_zipfile_serialization=False)[:-20],
        CUT,
    ),
    "cut short, safetensors": (
        lambda folder: safe(folder)[:-9],
        "is a damaged safetensors file: download it again",
    ),
    "script": (script, "is a TorchScript archive (torch.jit.save), which is code: save the state dict alone"),
    "module": (
        lambda folder: torch_file(network(), folder=folder),
        "holds a whole module (torch.nn.modules.batchnorm.BatchNorm2d, torch.nn.modules.container.Sequential, "
        "torch.nn.modules.conv.Conv2d, and 1 more), which is code and is not run: save the state dict alone",
    ),
    "module, legacy": (
        lambda folder: torch_file({"model": network()}, folder=folder, _use_new_zipfile_serialization=False),
        "holds a whole module (torch.nn.modules.container.Sequential), which is code and is not run: save the",
    ),
    "pickle": (
        lambda _: pickle.dumps({"a": 1}),
        "is a pickle that torch.save did not write, and is not opened: save the state dict alone",
    ),
    "pickle protocol 4": (
        lambda folder: torch_file(STATE, folder=folder, pickle_protocol=4),
        "is pickled in a way that is not supported (Unsupported operand",
    ),
    "arrays": (arrays, "is a zip archive that torch.save did not write (allowed: safetensors"),
    "array": (lambda _: b"\x93NUMPY\x01\x00v\x00{'descr'", "is an array of NumPy (allowed: safetensors"),
    "packed": (lambda _: b"\x1f\x8b\x08\x00abcdefg", "is a packed archive: unpack it, and name the file"),
    "onnx": (lambda _: graph(), 'is an ONNX file, a network by itself: name it as network = { name = "onnx", file'),
    "tensorflow": (lambda _: b"\x08\x01\x12\x8f\x05\n\x00", "is a graph of TensorFlow (allowed: safetensors"),
    "keras": (lambda _: b"\x89HDF\r\n\x1a\n\x00\x00", "is HDF5, as Keras writes it (allowed: safetensors"),
    "lite": (lambda _: b"\x1c\x00\x00\x00TFL3\x00\x00", "is a model of TensorFlow Lite (allowed: safetensors"),
    "noise": (lambda _: bytes(range(200, 250)), "cannot be read as weights (allowed: safetensors, or a state dict"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", OTHERS)
def test_files_that_hold_no_weights_are_said_to_be_what_they_are(tmp_path: Path, kind: str) -> None:
    content, message = OTHERS[kind]
    path = tmp_path / "teacher.pth"
    path.write_bytes(content(tmp_path))
    assert refusal(path).startswith(message)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "is a folder: name the file of weights in it"
    assert refusal(tmp_path / "nowhere.pth") == "cannot be read (No such file or directory)"


# -- judges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_judge_s_weights_are_read_in_torch_s_formats(path: Path, legacy: bool) -> None:
    """torchvision's own file of VGG-16 is of before torch 1.6."""
    model = VGG16()
    torch.save(
        {**model.state_dict(), "classifier.0.bias": torch.zeros(3)}, path, _use_new_zipfile_serialization=not legacy
    )
    assert equal(VGGExtractor(path).train().state_dict(), model.state_dict())
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"loss_network: .* does not hold torchvision's VGG-16"):
        VGGExtractor(path).train()
