"""Pictures as cameras and programs write them: turned, with foreign EXIF, with palettes, in grey and in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataError, DataWarning, UserError, warn_once
from distillbench.tasks.base import Folders
from distillbench.tasks.data import decoding, sets, standard
from distillbench.tasks.data.decoding import read, upright_size
from distillbench.tasks.data.embedded import PHOTOGRAPHS, _installed, photographs
from distillbench.tasks.data.folders import identity, labelled_outline, labelled_splits, photograph_splits
from distillbench.tasks.data.pixels import to_float
from distillbench.tasks.denoising import Denoising
from distillbench.tasks.metrics.images import to_8_bits
from distillbench.tasks.style_transfer import StyleTransfer
from distillbench.tasks.super_resolution import SuperResolution
from support.images import write_image
from support.synthetic_sets import enter

BROKEN_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\x87\x69\0\x04\0\0\0\x01\x7f\xff\xff\xff"
"""Turned by a quarter, and what else it says lies nowhere."""


@pytest.fixture(autouse=True)
def anew() -> None:
    warn_once.cache_clear()


def levels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# -- EXIF and warnings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "compression"), [(".png", None), (".tif", None), (".tif", "tiff_lzw")])
def test_every_orientation_stands_upright(
    suffix: str, compression: str | None, orientation: int, tmp_path: Path
) -> None:
    exif, pixels = Image.Exif(), levels(0, 4, 6)
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / f"x{suffix}", exif=exif, compression=compression)
    turns = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose, 8: np.rot90}
    turns |= {6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T}
    upright = turns.get(orientation, np.asarray)(pixels)
    assert np.array_equal(read(tmp_path / f"x{suffix}")[0].numpy(), upright)
    assert upright_size(tmp_path / f"x{suffix}") == upright.shape[::-1]


def test_exif_that_cannot_be_written_again_spoils_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = levels(0, 4, 6)
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=BROKEN_EXIF)

    def fail(self: Image.Exif, offset: int = 8) -> bytes:
        raise TypeError("cannot be written")

    monkeypatch.setattr(Image.Exif, "tobytes", fail)
    assert np.array_equal(read(tmp_path / "x.png")[0].numpy(), np.rot90(pixels, -1))


def test_what_pillow_warns_of_is_told_with_the_picture(tmp_path: Path) -> None:
    for i in range(3):
        image = Image.fromarray(levels(i, 40, 40, 3)).quantize(16)
        image.save(tmp_path / f"{i}.png", transparency=bytes(range(16)))
    with pytest.warns() as told:
        photograph_splits(Folders(test=tmp_path))
    (warning,) = told
    assert warning.category is DataWarning
    assert str(warning.message).startswith(f"data: {tmp_path / '0.png'} and 2 more: Palette images with Transparency")


# -- channels of photographs ----------------------------------------------------------------------------------------


@pytest.fixture
def grey_and_equal(tmp_path: Path) -> Path:
    """One picture in a file of one channel, and another in a file of three equal ones."""
    folder = tmp_path / "figures"
    for name, seed, channels in (("one.png", 0, 1), ("three.png", 1, 3)):
        folder.mkdir(exist_ok=True)
        pixels = levels(seed, 48, 48)
        Image.fromarray(np.stack([pixels] * 3, 2) if channels == 3 else pixels).save(folder / name)
    return folder


def taken_and_converted(test: list[torch.Tensor], one: torch.Tensor, three: torch.Tensor) -> None:
    assert torch.equal(test[0], one)
    weights, offset = 65.481 + 128.553 + 24.966, 16
    assert torch.equal(test[1], (three.double() / 255 * weights + offset).round().to(torch.uint8))


def test_luma_is_converted_where_a_file_has_three_channels_equal_or_not(grey_and_equal: Path) -> None:
    settings = SuperResolution.Settings(data=Folders(test=grey_and_equal))
    one, three = (torch.from_numpy(levels(seed, 1, 48, 48)) for seed in (0, 1))
    taken_and_converted(list(SuperResolution(settings).splits.test.images), one, three)


def test_a_set_by_name_keeps_the_channels_of_its_files(
    grey_and_equal: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = sets.table()["set14"].model_copy(update={"images": {"test": 2}})
    enter(monkeypatch, its)
    grey_and_equal.rename(data_root / "set14")
    for _ in range(2):  # decoded, then mapped
        assert [len(image) for image in standard.splits(its).test.images] == [1, 3]
        standard._decoded.cache_clear()
    one, three = (torch.from_numpy(levels(seed, 1, 48, 48)) for seed in (0, 1))
    settings = SuperResolution.Settings(data=Folders(test_name="set14"))
    taken_and_converted(list(SuperResolution(settings).splits.test.images), one, three)


def test_denoising_and_style_see_the_same_picture_whatever_its_channels(grey_and_equal: Path) -> None:
    data, one, three = Folders(test=grey_and_equal), *(torch.from_numpy(levels(seed, 1, 48, 48)) for seed in (0, 1))
    grey = Denoising(Denoising.Settings(data=data)).splits.test.images
    assert torch.equal(grey[0], one)
    assert torch.equal(grey[1], three)
    style = StyleTransfer(StyleTransfer.Settings(data=data)).splits.test.images
    assert torch.equal(style[0], one.expand(3, -1, -1))
    assert torch.equal(style[1], three.expand(3, -1, -1))


def test_a_picture_is_the_same_in_one_channel_and_in_three(tmp_path: Path) -> None:
    for split, name, mode in (("test", "copy.png", "RGB"), ("validation", "camera.png", "L")):
        (tmp_path / split).mkdir()
        Image.fromarray(levels(0, 40, 40)).convert(mode).save(tmp_path / split / name)
    with pytest.raises(DataError, match=r"copy\.png and camera\.png are the same picture"):
        photograph_splits(Folders(test=tmp_path / "test", validation=tmp_path / "validation"))


@pytest.mark.parametrize("split", standard.SPLITS)
def test_the_embedded_photographs_are_what_they_were(split: str) -> None:
    """Luma by the channels of a file is for them what it was by equal levels."""
    part = getattr(photographs(), split)
    splits = SuperResolution(SuperResolution.Settings()).splits
    ours = getattr(splits, "fit" if split == "validation" else split).images  # the half that begins at the corner
    for place, image, luma in zip(getattr(PHOTOGRAPHS, split), part.images, ours, strict=True):
        with Image.open(_installed(*place)) as file:
            rgb = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
        assert torch.equal(image.expand(3, -1, -1), rgb)
        grey = torch.equal(rgb[0], rgb[1]) and torch.equal(rgb[1], rgb[2])
        weights = torch.tensor((65.481, 128.553, 24.966)).view(3, 1, 1)
        expected = to_float(rgb[:1]) if grey else to_8_bits(((to_float(rgb) * weights).sum(0, keepdim=True) + 16) / 255)
        height, width = luma.shape[1:]
        assert torch.equal(luma, (expected * 255).round().to(torch.uint8)[:, :height, :width])


@pytest.mark.parametrize(("colours", "channels"), [(((9, 9, 9), (200, 200, 200)), 1), (((9, 9, 9), (200, 0, 0)), 3)])
@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp"])
def test_a_palette_is_what_its_colours_are(
    suffix: str, colours: tuple[tuple[int, int, int], ...], channels: int, tmp_path: Path
) -> None:
    image = Image.fromarray(levels(0, 8, 8) % 2, "P")
    image.putpalette([level for colour in colours for level in colour])
    image.save(tmp_path / f"x{suffix}")
    found = read(tmp_path / f"x{suffix}")
    assert len(found) == channels
    expected = np.array(colours, np.uint8)[levels(0, 8, 8) % 2].transpose(2, 0, 1)
    assert np.array_equal(found.numpy(), expected[:channels])


# -- channels of class folders --------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    for i in range(40):
        kind, mode = ("cat", "L") if i < 20 else ("dog", "RGB")
        write_image(tmp_path / "mixed" / kind / f"{i:03d}.png", i, mode=mode)
    return tmp_path / "mixed"


def test_one_grey_image_makes_no_grey_set(mixed: Path) -> None:
    with pytest.warns(DataWarning) as told:
        assert labelled_splits(Folders(train=mixed)).train.images.shape[1:] == (3, 8, 8)
    line = f"data: {mixed}: 20 of 40 images are grey, all are read in colour (data.channels = 1 or 3 decides)"
    assert [str(warning.message) for warning in told] == [line]


def test_the_setting_decides_and_is_part_of_the_data_where_it_changes_pixels(
    mixed: Path, recwarn: pytest.WarningsRecorder
) -> None:
    grey, colour, undecided = (Folders(train=mixed, channels=channels) for channels in (1, 3, None))
    assert labelled_splits(grey).train.images.shape[1:] == (1, 8, 8)
    assert labelled_outline(grey).train.images.shape[1:] == (1, 8, 8)
    assert labelled_outline(colour).train.images.shape[1:] == (3, 8, 8)
    assert not recwarn
    known = identity(undecided, "digits")
    assert identity(colour, "digits") == known
    assert identity(grey, "digits") == known | {"channels": 1}


def test_colour_in_the_test_folder_counts_too(mixed: Path, tmp_path: Path) -> None:
    for i in range(20):
        write_image(mixed / "dog" / f"{i + 20:03d}.png", i + 20)
    write_image(tmp_path / "test" / "dog" / "1.png", 100, mode="RGB")
    with pytest.warns(DataWarning, match="40 of 40 images are grey, all are read in colour"):
        assert labelled_splits(Folders(train=mixed, test=tmp_path / "test")).test.images.shape[1:] == (3, 8, 8)


def test_colours_are_looked_at_once_and_not_decoded(mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_read", lambda *_: pytest.fail("was decoded"))
    assert labelled_outline(Folders(train=mixed, channels=None)).train.images.shape[1:] == (3, 8, 8)
    monkeypatch.setattr(decoding, "_in_colour", lambda *_: pytest.fail("was looked at again"))
    assert "channels" in identity(Folders(train=mixed, channels=1), "digits")


def test_channels_where_there_are_no_class_folders_are_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "1.png", 0, (40, 40))
    for settings, message in (
        (["tasks.vae.data.channels=1"], "tasks.vae.data: channels is of class folders, and needs train"),
        (
            [f"tasks.denoising.data.train={tmp_path}", "tasks.denoising.data.channels=1"],
            "tasks.denoising.data.channels: only class folders take it; photographs have the channels of their files",
        ),
        ([f"tasks.vae.data.train={tmp_path}", "tasks.vae.data.channels=2"], "tasks.vae.data.channels: "),
    ):
        with pytest.raises(UserError, match=message) as error:
            load("smoke", settings, [settings[0].split(".")[1]])
        assert len(str(error.value).splitlines()) == 1
