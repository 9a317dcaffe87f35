"""Weights that were trained elsewhere: which of a file's tensors are those of a network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from distillbench.bench.training.contract import reason, sides
from distillbench.bench.training.weights_file import ALLOWED, UnusableError, read
from distillbench.common.errors import UserError, at_most, did_you_mean
from distillbench.tasks.views.units import View

TOP = "."
"""The name of the file as a whole, beside the keys in it."""
LEVELS = 3
"""Levels of nested tables that are searched for weights."""
COUNTER = "num_batches_tracked"
"""A buffer of batch normalisation on which no output depends, and which old files lack."""
AVERAGES = "n_averaged"
"""A tensor that torch's AveragedModel keeps beside the weights."""
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of names that come from wrappers of a module in training."""


def load_pretrained(model: nn.Module, path: Path, key: str | None = None) -> None:
    """Load weights that were trained elsewhere into a network of the same architecture; no code of the file is run.

    Args:
        model: the network, which is changed.
        path: a file of safetensors, or a file that ``torch.save`` wrote: a state dict, alone or in a checkpoint under
            any key. Prefixes that all names share are ignored where the network has none.
        key: the key of the weights, where the file has several sets.

    Raises:
        UserError: the file cannot be read, or holds no weights that fit.
    """
    target = model
    while isinstance(target, View):
        target = target.network
    network = {name: value for name, value in target.state_dict().items() if isinstance(value, Tensor)}
    heads = {name.partition(".")[0] for name in network}
    try:
        weights = _choose(_sets(read(path), heads), network, key)
    except UnusableError as error:
        raise UserError(f"{path} {error}", field="teacher.weights") from error
    try:
        target.load_state_dict({**target.state_dict(), **weights})
    except Exception as error:  # tensors without values, and whatever a module of the user's own refuses
        problem = f"{path} holds weights that cannot be loaded ({reason(error)})"
        raise UserError(problem, field="teacher.weights") from error


Tensors = Mapping[str, Tensor]


def _sets(content: object, heads: Collection[str], place: str = TOP, levels: int = LEVELS) -> dict[str, Tensors]:
    """Return all sets of tensors, by the keys that lead to them with dots between.

    heads: the beginnings of the network's names.
    """
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
    """Join the parts of one network that have a state dict each, as those of a GAN often have."""
    parts = {key: tensors for key, table in tables.items() if (tensors := _tensors(table))}
    if len(parts) < 2:
        return {}
    return {f"{key}.{name}": tensor for key, tensors in parts.items() for name, tensor in tensors.items()}


def _choose(sets: Mapping[str, Tensors], network: Tensors, key: str | None) -> dict[str, Tensor]:
    """Return the weights that fit the network, by its names."""
    if not sets:
        raise UnusableError(f"holds no tensors by name ({ALLOWED})")
    if key is not None and key not in sets:
        raise UnusableError(f"holds no weights under teacher.weights_key = {key!r}{did_you_mean(key, sets)}")
    candidates = {place: _rename(sets[place], network) for place in (sets if key is None else (key,))}
    fits = [place for place, tensors in candidates.items() if not _differences(tensors, network)]
    if len(fits) > 1:
        keys = ", ".join(map(repr, fits))
        raise UnusableError(f"holds several sets of weights (allowed for teacher.weights_key: {keys})")
    if not fits:
        raise UnusableError(f"holds the weights of another network{_nearest(candidates, network)}")
    weights = candidates[fits[0]]
    return {name: tensor for name, tensor in weights.items() if name in network and _fits(tensor, network[name])}


def _nearest(candidates: Mapping[str, Tensors], network: Tensors) -> str:
    """Return how the set of weights that has most in common with the network differs from it."""
    place = max(candidates, key=lambda place: len(candidates[place].keys() & network.keys()))
    under = f" under {place!r}" if len(candidates) > 1 else ""
    return f"{under}: {'; '.join(_differences(candidates[place], network))}"


def _rename(tensors: Tensors, network: Tensors) -> Tensors:
    """Return the tensors under those of their possible names that the network has most of."""
    return max(_forms(tensors), key=lambda form: len(form.keys() & network.keys()))


def _forms(tensors: Tensors) -> Iterator[Tensors]:
    """Yield the tensors by their names with and without wrappers, and without each prefix that all names share."""
    bare = {".".join(part for part in name.split(".") if part not in WRAPPERS): t for name, t in tensors.items()}
    for form in (tensors, bare if len(bare) == len(tensors) else {}):
        yield form
        while prefix := _prefix(form):
            form = {name.removeprefix(prefix): tensor for name, tensor in form.items()}
            yield form


def _prefix(names: Iterable[str]) -> str:
    """Return the common beginning of all names up to and with their first dot, '' where there is none."""
    starts = {"".join(name.partition(".")[:2]) for name in names}
    start = starts.pop() if len(starts) == 1 else ""
    return start if start.endswith(".") else ""


def _differences(tensors: Tensors, network: Tensors) -> list[str]:
    """Return the differences of a set of weights from those of the network, in words; none where it fits."""
    absent = [name for name in _without_counters(network) if name not in tensors]
    extra = [name for name in _without_counters(tensors) if name not in network]
    unlike = [
        f"{name} is {_mismatch(tensors[name], network[name])}"
        for name in _without_counters(network)
        if name in tensors and not _fits(tensors[name], network[name])
    ]
    return [
        *([f"lacks {', '.join(at_most(2, absent))}"] if absent else []),
        *([f"has extra {', '.join(at_most(2, extra))}"] if extra else []),
        *at_most(2, unlike),
    ]


def _without_counters(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.endswith(COUNTER)]


def _fits(tensor: Tensor, place: Tensor) -> bool:
    """Return whether a tensor has the shape and the kind of numbers of its place in the network."""
    return tensor.shape == place.shape and _kind(tensor) == _kind(place)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _mismatch(tensor: Tensor, place: Tensor) -> str:
    """Return how a tensor differs from its place in the network: in shape, or else in the kind of numbers."""
    if tensor.shape != place.shape:
        return f"{sides(tensor.shape)} (expected {sides(place.shape)})"
    return f"{tensor.dtype} (expected {place.dtype})".replace("torch.", "")
