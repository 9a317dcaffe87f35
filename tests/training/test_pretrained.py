"""Which weights of a file become a teacher's: by which keys, under which names, in which numbers."""

from __future__ import annotations

import argparse
import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from distillbench.bench.run.jobs import pretrained
from distillbench.bench.run.preconditions import check_data
from distillbench.bench.store.architecture import architecture
from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.resolve import as_table, load
from distillbench.bench.training.loop import initial
from distillbench.common.errors import UserError
from support.own_pairs import pair
from support.teachers import EMA, STATE, equal, network, refusal, state_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "teacher.pth"


# -- which weights ----------------------------------------------------------------------------------------------------

KEYS = (
    "state_dict", "model_state_dict", "model", "params", "params_ema", "net", "network", "weights", "student",
    "teacher", "state_dict_ema", "model_ema", "ema", "module", "generator", "g_ema", "my own",
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_weights_are_taken_from_under_any_key(path: Path, key: str) -> None:
    optimiser = torch.optim.Adam(network().parameters())
    others = {"epoch": torch.tensor(3), "optimizer": optimiser.state_dict(), "metrics": {"loss": torch.tensor(0.5)}}
    torch.save({**others, key: STATE}, path)
    assert equal(state_of(path), STATE)
    torch.save({"checkpoint": {**others, key: STATE}}, path)
    assert equal(state_of(path), STATE)


def test_where_several_fit_the_file_is_refused_until_one_is_named(path: Path) -> None:
    others = {"discriminator": {"conv.weight": torch.ones(1)}, "optimizer": {"state": {0: dict(STATE)}}}
    torch.save({"state_dict": STATE, "state_dict_ema": EMA, **others}, path)
    assert refusal(path) == (
        "holds several sets of weights (allowed for teacher.weights_key: 'state_dict', 'state_dict_ema')"
    )
    assert equal(state_of(path, "state_dict"), STATE)
    assert equal(state_of(path, "state_dict_ema"), EMA)
    assert refusal(path, "state_dict_emma") == (
        "holds no weights under teacher.weights_key = 'state_dict_emma'; did you mean 'state_dict_ema'? "
        "(allowed: discriminator, state_dict, state_dict_ema)"
    )
    assert refusal(path, "discriminator").startswith("holds the weights of another network: lacks conv.bias")


def test_a_key_leads_through_tables_and_to_the_file_as_a_whole(path: Path) -> None:
    torch.save({"model": {"online": STATE, "ema": EMA}}, path)
    assert "'model.online', 'model.ema'" in refusal(path)
    assert equal(state_of(path, "model.ema"), EMA)
    torch.save({**STATE, "ema": EMA}, path)
    assert "'ema', '.'" in refusal(path)
    assert equal(state_of(path, "."), STATE)
    assert equal(state_of(path, "ema"), EMA)


def test_of_several_that_do_not_fit_the_nearest_is_compared(path: Path) -> None:
    wider = {**STATE, "head.weight": torch.zeros(5, 2)}
    torch.save({"metrics": {"loss": torch.tensor(0.5)}, "ema": wider}, path)
    assert refusal(path) == "holds the weights of another network under 'ema': head.weight is 5×2 (expected 3×2)"


def test_parts_of_a_network_with_a_state_dict_each_are_joined(path: Path) -> None:
    """As a GAN's two networks are kept."""
    gan = nn.ModuleDict({"generator": network(1), "discriminator": network(2)})
    torch.save({"generator": STATE, "discriminator": EMA, "g_ema": STATE, "step": torch.tensor(3)}, path)
    into = nn.ModuleDict({"generator": network(3), "discriminator": network(4)})
    assert equal(state_of(path, into=into), gan.state_dict())


def test_a_table_that_holds_itself_ends(path: Path) -> None:
    content: dict[str, Any] = {"model": STATE, "epoch": 1}
    content["self"] = {"again": content}
    torch.save(content, path)
    assert equal(state_of(path, "model"), STATE)


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3}, torch.ones(3), {"optimizer": {"state": {0: STATE}}}])
def test_a_file_without_weights_is_refused(path: Path, content: Any) -> None:
    torch.save(content, path)
    assert refusal(path) == "holds no tensors by name (allowed: safetensors, or a state dict that torch.save wrote)"


# -- names ------------------------------------------------------------------------------------------------------------


PREFIXES = (
    "module.", "_orig_mod.", "model.", "net.", "backbone.", "module._orig_mod.", "module.module.", "student.backbone.",
)  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_that_all_names_share_are_left_out(path: Path, prefix: str) -> None:
    prefixed = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    torch.save({"state_dict": prefixed}, path)
    assert equal(state_of(path), STATE)
    save_file(prefixed, path)
    assert equal(state_of(path), STATE)


def test_a_prefix_that_the_network_has_itself_stays(path: Path) -> None:
    model, into = (nn.Sequential(collections.OrderedDict(model=network(seed))) for seed in (1, 0))
    torch.save(nn.DataParallel(model).state_dict(), path)
    assert equal(state_of(path, into=into), model.state_dict())


def test_parts_that_were_wrapped_by_themselves_are_taken(path: Path) -> None:
    """By torch.compile and DataParallel."""
    wrappers = {"conv.": "conv._orig_mod.", "norm.": "norm.module."}
    for start, wrapper in wrappers.items():
        torch.save({name.replace(start, wrapper): tensor for name, tensor in STATE.items()}, path)
        assert equal(state_of(path), STATE)


def test_prefixes_of_some_names_alone_are_no_prefix(path: Path) -> None:
    torch.save({f"module.{name}" if "conv" in name else name: tensor for name, tensor in STATE.items()}, path)
    assert equal(state_of(path), STATE)  # what a module was wrapped in
    torch.save({f"body.{name}" if "conv" in name else name: tensor for name, tensor in STATE.items()}, path)
    assert refusal(path).endswith("lacks conv.weight, conv.bias; has extra body.conv.weight, body.conv.bias")


def test_torch_s_average_of_a_model_is_taken(path: Path) -> None:
    """As torchvision's training scripts keep it."""
    average = AveragedModel(network(1), use_buffers=True)
    average.update_parameters(network(1))
    torch.save({"model_ema": average.state_dict(), "args": argparse.Namespace(), "epoch": 1}, path)
    assert equal(state_of(path), STATE)


def test_what_timm_s_trainer_writes_is_taken(tmp_path: Path) -> None:
    saver = pytest.importorskip("timm.utils")
    model = network(1)
    optimiser = torch.optim.AdamW(model.parameters())
    average = saver.ModelEmaV2(network(2))
    arguments = argparse.Namespace(model="mine", output=Path("runs"))
    saver.CheckpointSaver(
        model, optimiser, args=arguments, model_ema=average, checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path)
    ).save_checkpoint(0, metric=np.float64(71.5))
    path = tmp_path / "checkpoint-0.pth.tar"
    assert "'state_dict', 'state_dict_ema'" in refusal(path)
    assert equal(state_of(path, "state_dict"), STATE)
    assert equal(state_of(path, "state_dict_ema"), EMA)


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_counters_of_batches_may_be_missing(path: Path) -> None:
    """Files of before torch 0.4.1 have none."""
    torch.save({name: tensor for name, tensor in STATE.items() if "num_batches" not in name}, path)
    state = state_of(path)
    assert equal({**STATE, "norm.num_batches_tracked": state["norm.num_batches_tracked"]}, state)
    torch.save({name: tensor for name, tensor in STATE.items() if "norm" not in name}, path)
    assert refusal(path) == "holds the weights of another network: lacks norm.weight, norm.bias, and 2 more"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_another_precision_are_loaded_with_equal_values(path: Path, dtype: torch.dtype) -> None:
    short = {name: tensor.to(dtype) for name, tensor in STATE.items()}  # the counter, too
    for save in (torch.save, save_file):
        save(short, path)
        state = state_of(path)
        assert all(tensor.dtype == STATE[name].dtype for name, tensor in state.items())
        weights = [name for name in STATE if "num_batches" not in name]
        assert all(torch.equal(state[name], short[name].float()) for name in weights)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.complex64, torch.bool])
def test_numbers_of_another_kind_are_refused_by_name(path: Path, dtype: torch.dtype) -> None:
    torch.save({**STATE, "conv.weight": STATE["conv.weight"].to(dtype)}, path)
    kind = str(dtype).removeprefix("torch.")
    assert refusal(path) == f"holds the weights of another network: conv.weight is {kind} (expected float32)"


def test_tensors_without_values_are_refused(path: Path) -> None:
    torch.save({**STATE, "conv.weight": STATE["conv.weight"].to("meta")}, path)
    assert refusal(path).startswith("holds weights that cannot be loaded (")


# -- in a suite -------------------------------------------------------------------------------------------------------


def pretrained_pair(path: Path, **more: Any) -> Pair:
    network = {"network": {"name": "mlp", "hidden": [4]}}
    return pair("classification", teacher={**network, "weights": str(path), **more}, student=network)


@pytest.fixture
def two_sets(path: Path) -> tuple[Path, Mapping[str, Tensor]]:
    """A file with two sets of weights for the pair's teacher, and the second of them."""
    path.touch()
    state = initial(pretrained_pair(path).build(), "teacher", 0).state_dict()
    ema = {name: tensor / 2 for name, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": ema}, path)
    return path, ema


def test_the_recipe_names_the_weights(two_sets: tuple[Path, Mapping[str, Tensor]], tmp_path: Path) -> None:
    path, ema = two_sets
    with pytest.raises(UserError, match=r"^tasks\.classification\.teacher\.weights: .* several sets of weights .*_ema"):
        check_data(pretrained_pair(path), tmp_path)
    average, last = (pretrained_pair(path, weights_key=key) for key in ("state_dict_ema", "state_dict"))
    check_data(average, tmp_path)
    assert equal(pretrained(average.build()).state_dict(), ema)
    assert average.teacher_hash(0) != last.teacher_hash(0)
    assert architecture(average.config, "teacher", None) == architecture(last.config, "teacher", None)


def test_a_key_without_weights_has_no_effect(two_sets: tuple[Path, Mapping[str, Tensor]]) -> None:
    path, _ = two_sets
    with pytest.raises(UserError, match=r"teacher\.weights_key: has no effect: there are no weights beside it$"):
        pair("classification", teacher={"weights_key": "ema"})
    with pytest.raises(UserError, match=r"student\.weights_key: has no effect: there are no weights beside it$"):
        pair("classification", student={"weights_key": "ema"})
    suite = {"tasks": {"classification": {"teacher": {"weights": str(path), "weights_key": "state_dict_ema"}}}}
    with pytest.raises(UserError, match=r"^--set: tasks\.classification\.teacher\.weights_key: has no effect"):
        load({"tasks": {"classification": {}}}, ["tasks.classification.teacher.weights_key=ema"])
    # Whoever takes the weights away on the command line need not take the suite's key away.
    without = load(suite, ["tasks.classification.teacher.weights=none"]).entries[0].pair.settings.recipe("teacher")
    assert (without.weights, without.weights_key) == (None, None)
    assert load(suite).entries[0].pair.settings.recipe("teacher").weights_key == "state_dict_ema"
    assert load(as_table(load(suite))).pairs == load(suite).pairs
    load({"tasks": {"classification": {"teacher": {"weights": "none", "weights_key": "none"}}}})
