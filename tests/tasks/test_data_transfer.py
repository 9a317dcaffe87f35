"""Transfer sets and the data that methods fit to: which examples they are, and that no other split has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distillbench.bench.suite.cells import Pair
from distillbench.bench.suite.resolve import load
from distillbench.tasks.base import Split, Splits, Task
from distillbench.tasks.data import folders, standard
from distillbench.tasks.data.division import divide, halves
from distillbench.tasks.data.embedded import LabelledImages, Photographs, digits, photographs
from distillbench.tasks.data.pixels import image_digests, to_float
from distillbench.tasks.metrics.images import downscale, luma
from support.images import write_image
from support.synthetic_sets import Made
from support.tasks import TASK_NAMES, TRANSFER

TaskOf = Callable[[str], Task]
SPLITS: tuple[Split, ...] = ("train", "fit", "validation", "test", "transfer")


def pair_of(name: str, *settings: str) -> Pair:
    return load("smoke", [f"tasks.{name}.{setting}" for setting in settings], [name]).pairs[0]


def whole_of(name: str) -> Splits[LabelledImages] | Splits[Photographs]:
    return digits() if name in ("classification", "vae") else photographs()


def names(task: Task, split: Split) -> set[str]:
    return set(getattr(task.splits, split).names)


def training_images(whole: Splits[LabelledImages] | Splits[Photographs]) -> dict[str, bytes]:
    return dict(zip(whole.train.names, image_digests(whole.train), strict=True))


def images_in(folder: Path, count: int, first: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L") -> Path:
    for i in range(first, first + count):
        write_image(folder / f"{i:03d}.png", i, size, mode)
    return folder


def classes_in(folder: Path, count: int, first: int = 0) -> Path:
    for i in range(first, first + count):
        write_image(folder / "ab"[i % 2] / f"{i:03d}.png", i)
    return folder


# -- no two splits have an example in common ------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["'rest'", "2"])
@pytest.mark.parametrize("name", TRANSFER)
def test_what_training_leaves_is_in_no_other_split(name: str, amount: str) -> None:
    kept = [setting for setting in TRANSFER[name] if setting.startswith(("images", "originals"))]
    task, whole = pair_of(name, *kept, f"transfer={amount}").build(), whole_of(name)
    pixels, taken = training_images(whole), names(task, "transfer")
    assert taken <= pixels.keys() - names(task, "train")
    assert amount == "'rest'" or len(taken) == 2
    assert amount == "2" or taken == pixels.keys() - names(task, "train")
    elsewhere = {
        *image_digests(whole.validation),
        *image_digests(whole.test),
        *(pixels[n] for n in names(task, "train")),
    }
    assert not {pixels[name] for name in taken} & elsewhere


@pytest.mark.parametrize("split", ["train", "fit", "validation", "test"])
def test_copies_of_an_image_are_in_one_split_alone(split: Split, tmp_path: Path) -> None:
    train = classes_in(tmp_path / "train", 40)
    settings = (f"data.train={train}", "labels=10", "transfer='rest'")
    member = min(names(pair_of("classification", *settings).build(), split))
    for i in range(5):  # other files of the same pixels, whose names put them into the training images
        (train / member.replace(".png", f"-{i}.png")).write_bytes((train / member).read_bytes() + b" " * (i + 1))
    folders.labelled_once.cache_clear()
    task = pair_of("classification", *settings).build()
    parts = {split: set(image_digests(getattr(task.splits, split))) for split in SPLITS}
    transfer = parts.pop("transfer")
    assert transfer
    assert not any(transfer & part for part in parts.values())


@pytest.mark.parametrize("name", TRANSFER)
def test_a_folder_is_taken_whole_or_in_part(name: str, tmp_path: Path) -> None:
    size = (8, 8) if name in ("classification", "vae") else (60, 50)
    folder = images_in(tmp_path / "more" / "deeper", 7, 900, size).parent
    for settings, count in (((), 7), (("transfer='rest'",), 7), (("transfer=3",), 3)):
        task = pair_of(name, f"data.transfer={folder}", *settings).build()
        task.check()
        assert task.examples("transfer") == count
        assert names(task, "transfer") <= {f"deeper/{i:03d}.png" for i in range(900, 907)}
        plain = pair_of(name).build()
        assert [names(task, split) for split in SPLITS[:4]] == [names(plain, split) for split in SPLITS[:4]]


def test_a_set_by_name_gives_its_training_images(made_set: Made, tmp_path: Path) -> None:
    its, *_ = made_set("cifar10")
    for i in range(40):
        write_image(tmp_path / "own" / "ab"[i % 2] / f"{i:03d}.png", i, (32, 32), "RGB")
    data = f"data.train={tmp_path / 'own'}"
    for settings, count in (((), len(standard.splits(its).train)), (("transfer=50",), 50)):
        task = pair_of("classification", data, "data.transfer_name=cifar10", *settings).build()
        task.check()
        assert task.examples("transfer") == count
        assert all(name.startswith("train-") for name in names(task, "transfer"))
        assert set(task.splits.transfer.labels.tolist()) == {-1}


# -- nothing is known of them but what students may see -----------------------------------------------------------


def test_the_choice_does_not_depend_on_labels() -> None:
    """Given the labelled examples, whatever the labels of the others are."""
    whole, kept = digits(), torch.arange(0, 997, 10)
    settings = pair_of("classification", "transfer=300").settings
    shuffled = replace(whole.train, labels=whole.train.labels[torch.randperm(997, generator=torch.Generator())])
    chosen = [divide(replace(whole, train=train), settings, kept=kept).transfer for train in (whole.train, shuffled)]
    assert chosen[0] is not None
    assert chosen[1] is not None
    assert chosen[0].names == chosen[1].names


@pytest.mark.parametrize("name", ["classification", "vae"])
def test_no_label_of_a_transfer_example_can_reach_a_loss(name: str, transfer_task_of: TaskOf) -> None:
    task = transfer_task_of(name)
    assert set(task.splits.transfer.labels.tolist()) == {-1}
    inputs = task.shared_inputs([0, 1], torch.Generator().manual_seed(0), split="transfer")
    assert "labels" not in inputs
    if name == "classification":
        with pytest.raises((IndexError, RuntimeError)):
            torch.nn.functional.cross_entropy(torch.zeros(2, 10), task.splits.transfer.labels[:2])


def test_small_pictures_are_all_that_super_resolution_has_of_the_originals(transfer_task_of: TaskOf) -> None:
    task = transfer_task_of("super_resolution")
    low, originals = task.splits.transfer, dict(zip(photographs().train.names, photographs().train.images, strict=True))
    scale = task.settings.scale  # type: ignore[attr-defined]
    for name, image in zip(low.names, low.images, strict=True):
        height, width = (side - side % scale for side in originals[name].shape[-2:])
        assert image.shape == (1, height // scale, width // scale)
        top, left = ((side - cut) // 2 for side, cut in zip(originals[name].shape[-2:], (height, width), strict=True))
        cut = originals[name][..., top : top + height, left : left + width]
        brightness = (luma(to_float(cut)) * 255).round() / 255
        assert torch.equal(image[None], downscale(brightness[None], scale))
    inputs = task.shared_inputs([0, 1], torch.Generator().manual_seed(0), split="transfer")
    assert inputs.keys() == {"low", "bicubic"}
    side = task.settings.patch  # type: ignore[attr-defined]
    assert inputs["low"].shape[-2:] == (side, side)


def patches(task: Task, draws: int) -> Tensor:
    inputs = [task.shared_inputs([0], torch.Generator().manual_seed(0), split="transfer") for _ in range(draws)]
    assert all(each.keys() == {"noisy"} for each in inputs)
    return torch.cat([each["noisy"] for each in inputs])


def test_drawing_again_does_not_take_the_noise_from_a_noisy_picture(transfer_task_of: TaskOf) -> None:
    task, settings = transfer_task_of("denoising"), ("originals=3", "transfer='rest'", "patch=16")
    drawn = patches(task, 5)
    assert torch.equal(drawn, drawn[:1].expand_as(drawn))
    assert torch.equal(patches(pair_of("denoising", *settings).build(), 1), drawn[:1])  # in any process
    clean = dict(zip(photographs().train.names, photographs().train.images, strict=True))
    for name, noisy in zip(task.splits.transfer.names, task.splits.transfer.images, strict=True):
        noise = noisy - to_float(task.original(clean[name]))  # type: ignore[attr-defined]
        assert float(noise.std()) == pytest.approx(25 / 255, rel=0.02)


def test_a_test_picture_of_the_same_name_has_other_noise(tmp_path: Path) -> None:
    images_in(tmp_path / "train", 12, size=(40, 40))
    images_in(tmp_path / "test", 12, 50, size=(40, 40))
    for i in range(12):
        (tmp_path / "test" / f"{50 + i:03d}.png").rename(tmp_path / "test" / f"{i:03d}.png")
    data = (f"data.train={tmp_path / 'train'}", f"data.test={tmp_path / 'test'}")
    task = pair_of("denoising", *data, "originals=4", "transfer='rest'", "patch=16").build()
    originals = {path.name: path for path in (tmp_path / "train").iterdir()}
    for name, noisy in zip(task.splits.transfer.names, task.splits.transfer.images, strict=True):
        noise = noisy - to_float(folders.read_all([originals[name]])[0])
        inputs = task.image_inputs(name, torch.zeros(1, 40, 40, dtype=torch.uint8))  # type: ignore[attr-defined]
        assert abs(torch.corrcoef(torch.stack([noise.flatten(), inputs["noise"].flatten()]))[0, 1]) < 0.2


# -- what methods fit to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASK_NAMES)
def test_methods_fit_to_other_examples_than_choose(name: str, task_of: TaskOf) -> None:
    splits = task_of(name).splits
    assert splits.fit is not None
    assert splits.fitting is splits.fit
    assert len(splits.fit)
    assert len(splits.validation)
    assert not set(splits.fit.names) & set(splits.validation.names)
    assert not set(image_digests(splits.fit)) & set(image_digests(splits.validation))


@pytest.mark.parametrize("labels", [[0, 1], [0, 2], [1, 3], [0, 2, 4], [4, 4], [0, 0, 1, 2, 2, 2], list(range(5)) * 7])
def test_labelled_images_are_halved_class_by_class_whatever_classes_there_are(labels: list[int]) -> None:
    count = len(labels)
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1)
    data = LabelledImages(images, torch.tensor(labels), tuple("abcde"), tuple(map(str, range(count))))
    fit, validation = halves(data)
    assert sorted([*fit.names, *validation.names], key=int) == list(data.names)
    assert abs(len(fit) - len(validation)) <= 1
    counts = [torch.bincount(part.labels, minlength=5) for part in (fit, validation)]
    assert (counts[0] - counts[1]).abs().max() <= 1
    for part in (fit, validation):
        assert torch.equal(part.images.flatten(), torch.tensor([int(name) for name in part.names], dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(1, 6, 9), (3, 9, 6), (1, 5, 5)])
def test_one_photograph_is_cut_in_two(shape: tuple[int, int, int]) -> None:
    image = torch.arange(torch.tensor(shape).prod().item()).view(shape).to(torch.uint8)
    fit, validation = halves(Photographs(("one.png",), (image,)))
    axis = 1 if shape[1] > shape[2] else 2
    assert torch.equal(torch.cat([fit.images[0], validation.images[0]], axis), image)
    assert min(fit.images[0].shape[axis], validation.images[0].shape[axis]) == shape[axis] // 2
    assert fit.names + validation.names == tuple(
        f"one.png ({side} half)" for side in (("upper", "lower") if axis == 1 else ("left", "right"))
    )


# -- which hashes they are part of ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSFER)
def test_a_teachers_hash_depends_on_the_transfer_set_where_it_learns_from_it(name: str, tmp_path: Path) -> None:
    """And the feature extractor's, the self teacher's and the baselines' never."""
    kept = [setting for setting in TRANSFER[name] if setting.startswith(("images", "originals"))]
    size = (8, 8) if name in ("classification", "vae") else (60, 50)
    folder = images_in(tmp_path, 5, 900, size)
    plain = pair_of(name, *kept)
    for settings in (("transfer=2",), ("transfer='rest'", "transfer_batch=3"), (f"data.transfer={folder}",)):
        pair = pair_of(name, *kept, *settings)
        assert (pair.teacher_hash(0) == plain.teacher_hash(0)) == (name != "vae")
        assert pair.teacher_hash(0, "self") == plain.teacher_hash(0, "self")
        assert pair.extractor_hash == plain.extractor_hash
        assert pair.baseline_config == plain.baseline_config
        assert pair.config != plain.config
    batch = pair_of(name, *kept, "transfer=2", "transfer_batch=3")
    assert batch.teacher_hash(0) == pair_of(name, *kept, "transfer=2").teacher_hash(0)
