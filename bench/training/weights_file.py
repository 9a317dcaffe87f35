"""Reads files of weights as trainers write them; no code of a file is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from distillbench.common.errors import at_most, one_line

ALLOWED = "allowed: safetensors, or a state dict that torch.save wrote"
REMEDY = "save the state dict alone: torch.save(model.state_dict(), FILE)"
HEAD = 4096
"""Bytes at the beginning of a file that tell its format."""
LONGEST_HEADER = 100_000_000
"""The longest header of safetensors, in bytes, that the format allows."""
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The beginning of the files of torch before 1.6."""
_PATHS = "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath"
_ARRAYS = "_reconstruct scalar"
PLACEHOLDERS: Mapping[str, str] = {
    "argparse": "Namespace",
    "builtins": "bool bytes float frozenset int list object range slice str tuple",
    "collections": "deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "numpy": "bool bool_ bytes_ complex64 complex128 datetime64 dtype float16 float32 float64 int8 int16 int32 int64 "
    "ndarray object_ str_ timedelta64 uint8 uint16 uint32 uint64",
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "torch._C": "Generator",
    "torch.torch_version": "TorchVersion",
    "types": "SimpleNamespace",
    "uuid": "UUID",
}
"""Objects that trainers keep beside the weights, by module: none is created, ``_Placeholder`` replaces it."""
TABLES: Mapping[str, str] = {
    "addict.addict": "Dict",
    "builtins": "dict",
    "collections": "defaultdict",
    "easydict": "EasyDict",
    "yacs.config": "CfgNode",
}
"""Objects beside the weights that fill as a dictionary does, by module: ``_Table`` replaces them."""

FOREIGN: tuple[tuple[bytes, str], ...] = (
    (rb"\Z", "is empty: download it again"),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself: fetch that (git lfs pull)"),
    (
        rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype|html|head|\?xml)",
        "is a web page, as a failed download leaves one: download the file itself",
    ),
    (rb"\x89HDF\r\n", f"is HDF5, as Keras writes it ({ALLOWED})"),
    (rb"\x08\x01\x12", f"is a graph of TensorFlow ({ALLOWED})"),
    (rb"....TFL3", f"is a model of TensorFlow Lite ({ALLOWED})"),
    (
        rb"\x08[\x02-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]",
        'is an ONNX file, a network by itself: name it as network = { name = "onnx", file = … }, without weights',
    ),
    (rb"GGUF", f"is GGUF ({ALLOWED})"),
    (rb"\x93NUMPY", f"is an array of NumPy ({ALLOWED})"),
    (
        rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|.{257}ustar",
        "is a packed archive: unpack it, and name the file of weights in it",
    ),
)
"""The beginnings of files that are named by mistake, and what is wrong with them."""


class _Placeholder(list[Any]):
    """Replaces any object beside the weights: it takes what a pickle gives it and keeps nothing."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None: ...


class _Table:
    """Replaces any kind of dictionary."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict[Any, Any]()


class UnusableError(Exception):
    """A file cannot be used; the message goes behind its name."""


def read(path: Path) -> object:
    """Return the content of a file of weights: nested mappings with tensors.

    Raises:
        UnusableError: it is not such a file, damaged, or holds code.
    """
    if path.is_dir():
        raise UnusableError("is a folder: name the file of weights in it")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
            return _safetensors(path)
        _check_format(head)
        return _torch_file(path, head)
    except OSError as error:
        raise UnusableError(f"cannot be read ({error.strerror})") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UnusableError(f"is a damaged safetensors file: download it again ({one_line(str(error))})") from error


def _check_format(head: bytes) -> None:
    for pattern, problem in FOREIGN:
        if re.match(pattern, head, re.DOTALL):
            raise UnusableError(problem)
    text = head[:40].decode("ascii", "replace")
    if all(character.isprintable() or character.isspace() for character in text) and "\ufffd" not in text:
        raise UnusableError(f"is text that begins {one_line(text)!r} ({ALLOWED})")


def _torch_file(path: Path, head: bytes) -> object:
    if head.startswith(b"PK"):
        _check_archive(path)
    elif head.startswith(b"\x80") and not head.startswith(LEGACY):
        raise UnusableError(f"is a pickle that torch.save did not write, and is not opened: {REMEDY}")
    elif not head.startswith(LEGACY):
        raise UnusableError(f"cannot be read as weights ({ALLOWED})")
    with safe_globals(_stand_ins()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other protocols of pickle
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises anything on foreign bytes; what holds code is refused, not run
            raise UnusableError(_refusal(path, error)) from error


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise UnusableError("is truncated or damaged: download it again") from error
    if "constants.pkl" in names:
        raise UnusableError(f"is a TorchScript archive (torch.jit.save), which is code: {REMEDY}")
    if "data.pkl" not in names:
        raise UnusableError(f"is a zip archive that torch.save did not write ({ALLOWED})")


def _stand_ins() -> list[Any]:
    """Return pairs for torch: (the class to create, the name of the class that it replaces)."""
    return [
        (stand_in, f"{module}.{name}")
        for stand_in, table in ((_Placeholder, PLACEHOLDERS), (_Table, TABLES))
        for module, names in table.items()
        for name in names.split()
    ]


def _refusal(path: Path, error: Exception) -> str:
    """Return why torch could not read a file: which objects it would create, or that it is damaged."""
    try:
        objects = sorted(get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # torch lists those of its current format alone
        objects = re.findall(r"GLOBAL (\S+) ", str(error))
    if any(name.startswith("torch.nn.modules.") for name in objects):
        return f"holds a whole module ({', '.join(at_most(3, objects))}), which is code and is not run: {REMEDY}"
    if objects:
        names = ", ".join(at_most(3, objects))
        return f"holds objects beside the weights that are code and are not run ({names}): {REMEDY}"
    if isinstance(error, pickle.UnpicklingError) and (match := re.search(r"Unsupported operand \d+", str(error))):
        return f"is pickled in a way that is not supported ({match[0]}): {REMEDY}"
    return f"is truncated or damaged: download it again ({type(error).__name__})"
