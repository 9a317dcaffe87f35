"""Weights that were trained elsewhere: files as trainers write them. No code of a file is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from distillbench.bench.training.contract import reason, sides
from distillbench.common.errors import UserError, at_most, did_you_mean, one_line
from distillbench.tasks.views.units import View

ALLOWED = "allowed: safetensors, or a state dict that torch.save wrote"
REMEDY = "save the state dict alone: torch.save(model.state_dict(), FILE)"
TOP = "."
"""What stands for the file as a whole, where its keys have names."""
LEVELS = 3
"""Of tables in tables that are looked into for weights."""
HEAD = 4096
LONGEST_HEADER = 100_000_000
"""Of safetensors, in bytes, as the format has it."""
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch's files began before 1.6."""
COUNTER = "num_batches_tracked"
"""Of a batch normalisation: no output depends on it, and old files lack it."""
AVERAGES = "n_averaged"
"""Of torch's AveragedModel, beside the weights."""
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of a name that are of what a module was wrapped in for training."""

_PATHS = "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath"
_ARRAYS = "_reconstruct scalar"
ASIDE: Mapping[str, str] = {
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
"""What trainers keep beside the weights, by module: nothing of it is made, ``_Aside`` stands for it."""
TABLES: Mapping[str, str] = {
    "addict.addict": "Dict",
    "builtins": "dict",
    "collections": "defaultdict",
    "easydict": "EasyDict",
    "yacs.config": "CfgNode",
}
"""Likewise what fills as a dictionary does: ``_Table`` stands for it."""

FOREIGN: tuple[tuple[bytes, str], ...] = (
    (rb"\Z", "is empty: get it again"),
    (rb"version https://git-lfs", "is a pointer of Git LFS, not the file that it stands for: get that (git lfs pull)"),
    (
        rb"(?i)(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype|html|head|\?xml)",
        "is a web page, as a failed download leaves one: get the file itself",
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
"""How the files begin that are given by mistake, and what to say of them."""


class _Aside(list[Any]):
    """In the place of any object beside the weights: takes all that a pickle gives it, and keeps nothing of it."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None: ...


class _Table:
    """In the place of any kind of dictionary."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict[Any, Any]()


class _UnusableError(Exception):
    """What is wrong with a file, said behind its name."""


def load_pretrained(model: nn.Module, path: Path, key: str | None = None) -> None:
    """Weights that were trained elsewhere, into a network of the same architecture; no code of the file is run.

    A file of safetensors, or what ``torch.save`` wrote: a state dict, alone or in a checkpoint, under any key. Prefixes
    that all names share are left out where the network has none. key: which weights, where a file has several.
    Raises UserError.
    """
    target = model
    while isinstance(target, View):
        target = target.network
    network = {name: value for name, value in target.state_dict().items() if isinstance(value, Tensor)}
    heads = {name.partition(".")[0] for name in network}
    try:
        weights = _choose(_sets(_read(path), heads), network, key)
    except _UnusableError as error:
        raise UserError(f"{path} {error}", field="teacher.weights") from error
    try:
        target.load_state_dict({**target.state_dict(), **weights})
    except Exception as error:  # tensors without values, and whatever a module of the user's own refuses
        problem = f"{path} holds weights that cannot be loaded ({reason(error)})"
        raise UserError(problem, field="teacher.weights") from error


# -- which weights ----------------------------------------------------------------------------------------------------

Tensors = Mapping[str, Tensor]


def _sets(content: object, heads: Collection[str], place: str = TOP, levels: int = LEVELS) -> dict[str, Tensors]:
    """All tensors by name, and by the keys that lead to them, with dots between. heads: how a network's names begin."""
    if not isinstance(content, Mapping) or not levels:
        return {}
    tables = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Mapping)}
    sets: dict[str, Tensors] = {}
    for key, table in tables.items():
        sets |= _sets(table, heads, key if place == TOP else f"{place}.{key}", levels - 1)
    tensors = _join({key: table for key, table in tables.items() if key in heads}) or _tensors(content)
    return sets | {place: tensors} if tensors else sets


def _tensors(table: Mapping[object, object]) -> dict[str, Tensor]:
    return {k: v for k, v in table.items() if isinstance(k, str) and isinstance(v, Tensor) and k != AVERAGES}


def _join(tables: Mapping[str, Mapping[object, object]]) -> dict[str, Tensor]:
    """The parts of one network, each with a state dict of its own, as a GAN's two are often kept."""
    parts = {key: tensors for key, table in tables.items() if (tensors := _tensors(table))}
    if len(parts) < 2:
        return {}
    return {f"{key}.{name}": tensor for key, tensors in parts.items() for name, tensor in tensors.items()}


def _choose(sets: Mapping[str, Tensors], network: Tensors, key: str | None) -> dict[str, Tensor]:
    """The weights that fit the network, by its names."""
    if not sets:
        raise _UnusableError(f"holds no tensors by name ({ALLOWED})")
    if key is not None and key not in sets:
        raise _UnusableError(f"holds no weights under teacher.weights_key, {key!r}{did_you_mean(key, sets)}")
    candidates = {place: _rename(sets[place], network) for place in (sets if key is None else (key,))}
    fits = [place for place, tensors in candidates.items() if not _differences(tensors, network)]
    if len(fits) > 1:
        several = ", ".join(map(repr, fits))
        raise _UnusableError(f"holds several sets of weights (allowed for teacher.weights_key: {several})")
    if not fits:
        raise _UnusableError(f"holds the weights of another network{_nearest(candidates, network)}")
    weights = candidates[fits[0]]
    return {name: tensor for name, tensor in weights.items() if name in network and _fits(tensor, network[name])}


def _nearest(candidates: Mapping[str, Tensors], network: Tensors) -> str:
    """Where the weights are that have most in common with the network, and how they differ."""
    place = max(candidates, key=lambda place: len(candidates[place].keys() & network.keys()))
    where = f" under {place!r}" if len(candidates) > 1 else ""
    return f"{where}: {'; '.join(_differences(candidates[place], network))}"


def _rename(tensors: Tensors, network: Tensors) -> Tensors:
    """By those names, of all that they can have, of which the network has most."""
    return max(_forms(tensors), key=lambda form: len(form.keys() & network.keys()))


def _forms(tensors: Tensors) -> Iterator[Tensors]:
    """As they are named, and without what a module was wrapped in; of both, without each prefix that all share."""
    bare = {".".join(part for part in name.split(".") if part not in WRAPPERS): t for name, t in tensors.items()}
    for form in (tensors, bare if len(bare) == len(tensors) else {}):
        yield form
        while prefix := _prefix(form):
            form = {name.removeprefix(prefix): tensor for name, tensor in form.items()}
            yield form


def _prefix(names: Iterable[str]) -> str:
    """What all names share up to their first dot, with it; '' where they share none."""
    starts = {"".join(name.partition(".")[:2]) for name in names}
    start = starts.pop() if len(starts) == 1 else ""
    return start if start.endswith(".") else ""


def _differences(tensors: Tensors, network: Tensors) -> list[str]:
    """Between a set of weights and those of the network, in words; none where it fits."""
    absent = [name for name in _without_counters(network) if name not in tensors]
    extra = [name for name in _without_counters(tensors) if name not in network]
    unlike = [
        f"{name} is {_difference(tensors[name], network[name])}"
        for name in _without_counters(network)
        if name in tensors and not _fits(tensors[name], network[name])
    ]
    return [
        *([f"lacks {', '.join(at_most(2, absent))}"] if absent else []),
        *([f"has {', '.join(at_most(2, extra))} beside"] if extra else []),
        *at_most(2, unlike),
    ]


def _without_counters(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith(COUNTER)]


def _fits(tensor: Tensor, place: Tensor) -> bool:
    """Whether a tensor is of the shape of its place in the network, and of real numbers where that is of these."""
    return tensor.shape == place.shape and _kind(tensor) == _kind(place)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _difference(tensor: Tensor, place: Tensor) -> str:
    """In shape, or else in the kind of number."""
    if tensor.shape != place.shape:
        return f"{sides(tensor.shape)}, here {sides(place.shape)}"
    return f"{tensor.dtype}, here {place.dtype}".replace("torch.", "")


# -- files ------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> object:
    """What is in a file."""
    if path.is_dir():
        raise _UnusableError("is a folder: name the file of weights in it")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
            return _safetensors(path)
        _refuse_foreign(head)
        return _torch_file(path, head)
    except OSError as error:
        raise _UnusableError(f"cannot be read ({error.strerror})") from error


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _UnusableError(f"is safetensors, cut short or damaged: get it again ({one_line(str(error))})") from error


def _refuse_foreign(head: bytes) -> None:
    for pattern, what in FOREIGN:
        if re.match(pattern, head, re.DOTALL):
            raise _UnusableError(what)
    text = head[:40].decode("ascii", "replace")
    if all(character.isprintable() or character.isspace() for character in text) and "\ufffd" not in text:
        raise _UnusableError(f"is text that begins {one_line(text)!r} ({ALLOWED})")


def _torch_file(path: Path, head: bytes) -> object:
    if head.startswith(b"PK"):
        _refuse_other_archives(path)
    elif head.startswith(b"\x80") and not head.startswith(LEGACY):
        raise _UnusableError(f"is a pickle that torch.save did not write, and is not opened: {REMEDY}")
    elif not head.startswith(LEGACY):
        raise _UnusableError(f"cannot be read as weights ({ALLOWED})")
    with safe_globals(_stand_ins()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other protocols of pickle
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises anything on foreign bytes; what holds code is refused, not run
            raise _UnusableError(_refusal(path, error)) from error


def _refuse_other_archives(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise _UnusableError("is cut short, or damaged: get it again") from error
    if "constants.pkl" in names:
        raise _UnusableError(f"is a TorchScript archive (torch.jit.save), which is code: {REMEDY}")
    if "data.pkl" not in names:
        raise _UnusableError(f"is a zip archive that torch.save did not write ({ALLOWED})")


def _stand_ins() -> list[Any]:
    """As torch takes them: (what to make, in the place of what)."""
    return [
        (stand_in, f"{module}.{name}")
        for stand_in, table in ((_Aside, ASIDE), (_Table, TABLES))
        for module, names in table.items()
        for name in names.split()
    ]


def _refusal(path: Path, error: Exception) -> str:
    """Why torch did not read a file of its own: what else the file wants to make, or where it breaks off."""
    try:
        objects = sorted(get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # torch lists those of its present format alone
        objects = re.findall(r"GLOBAL (\S+) ", str(error))
    if any(name.startswith("torch.nn.modules.") for name in objects):
        return f"holds a whole module ({', '.join(at_most(3, objects))}), which is code, and not run: {REMEDY}"
    if objects:
        return (
            f"holds objects beside the weights that are code, and not run ({', '.join(at_most(3, objects))}): {REMEDY}"
        )
    if isinstance(error, pickle.UnpicklingError) and (what := re.search(r"Unsupported operand \d+", str(error))):
        return f"is pickled in a way that weights are not read from ({what[0]}): {REMEDY}"
    return f"is cut short, or damaged: get it again ({type(error).__name__})"
