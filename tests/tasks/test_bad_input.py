"""Images and sizes that cannot be used: refused in a line that names them, or taken as they are meant."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distillbench.bench.run.preconditions import check_data
from distillbench.bench.suite.preflight import training_bytes
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataWarning, UserError
from distillbench.tasks.base import Folders
from distillbench.tasks.data.files import DataError, digest, read, read_all
from distillbench.tasks.data.folders import identity, labelled_once, labelled_splits
from distillbench.tasks.data.image_files import image_names
from distillbench.tasks.figures.kinds import ImageGrid
from distillbench.tasks.networks.interfaces import ROLES
from support.images import write_image
from support.processes import Run, refused

RAMP = np.arange(256).repeat(4).reshape(16, 64)
"""Every grey level of 8 bits, in order."""


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Two classes of twenty images, 8×8."""
    for i in range(40):
        write_image(tmp_path / "train" / ("cat" if i % 2 else "dog") / f"{i:03d}.png", i)
    return tmp_path / "train"


# -- bit depths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("8.png", RAMP.astype(np.uint8)),
        ("16.png", (RAMP * 257).astype(np.uint16)),
        ("16.tif", (RAMP * 257).astype(np.uint16)),
        ("16.pgm", (RAMP * 257).astype(np.uint16)),
        ("float.tif", (RAMP / 255).astype(np.float32)),
    ],
)
def test_every_depth_of_one_picture_loads_as_the_same(tmp_path: Path, name: str, values: np.ndarray, mode: str) -> None:
    if name.endswith(".pgm"):
        height, width = values.shape
        (tmp_path / name).write_bytes(f"P5 {width} {height} 65535\n".encode() + values.astype(">u2").tobytes())
    else:
        Image.fromarray(values).save(tmp_path / name)
    assert read(tmp_path / name, mode)[0].tolist() == RAMP.tolist()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RAMP.astype(np.int32), "32-bit integers (allowed: 8 or 16 bits, or floats in [0, 1])"),
        (RAMP.astype(np.float32), "floats from 0 to 255 (allowed: "),
        (np.full((4, 4), np.nan, np.float32), "floats from nan to nan (allowed: "),
    ],
)
def test_depths_of_unknown_range_are_refused(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    with pytest.raises(DataError) as error:
        read(tmp_path / "x.tif", "L")
    assert f"{tmp_path / 'x.tif'} has {reason}" in str(error.value)


def test_a_folder_of_16_bit_images_is_grey(classes: Path) -> None:
    for path in [classes / name for name in image_names(classes)]:
        with Image.open(path) as image:
            values = np.asarray(image).astype(np.uint16) * 257
        Image.fromarray(values).save(path)
    assert labelled_splits(Folders(train=classes)).train.images.shape[1:] == (1, 8, 8)


# -- turned, empty, huge ------------------------------------------------------------------------------------------


def test_a_picture_stands_upright_as_its_camera_says(tmp_path: Path, classes: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    with Image.fromarray(RAMP.astype(np.uint8)) as image:
        image.save(tmp_path / "turned.png", exif=exif)
    assert read(tmp_path / "turned.png", "L")[0].tolist() == np.rot90(RAMP, -1).tolist()
    for path in [classes / name for name in image_names(classes)]:
        Image.fromarray(np.random.default_rng(path.stat().st_ino).integers(0, 256, (8, 12), dtype=np.uint8)).save(
            path, exif=exif
        )
    assert labelled_splits(Folders(train=classes)).train.images.shape[1:] == (1, 12, 8)


def test_a_first_image_of_no_bytes_is_named(classes: Path) -> None:
    (classes / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cat/000\.png cannot be read as an image"):
        labelled_splits(Folders(train=classes))


def test_a_link_to_nowhere_is_named(classes: Path) -> None:
    (classes / "cat" / "link.png").symlink_to(classes / "nowhere.png")
    with pytest.raises(DataError, match=r"^data: .*cat/link\.png cannot be read \(No such file"):
        labelled_splits(Folders(train=classes))


def test_a_decompression_bomb_is_named_and_a_large_photograph_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / "bomb.png"
    write_image(path, 0, (30, 30))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    with pytest.raises(DataError, match=r"bomb\.png cannot be read as an image \(Image size \(900 pixels\) exceeds"):
        read_all([path], "L")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_all([path], "L")[0].shape == (1, 30, 30)


# -- what systems leave in folders --------------------------------------------------------------------------------


def test_hidden_files_and_empty_folders_are_skipped_told_and_no_part_of_the_data(classes: Path) -> None:
    before, folders = labelled_splits(Folders(train=classes)), Folders(train=classes)
    known = identity(folders, "digits")
    write_image(classes / ".ipynb_checkpoints" / "1-checkpoint.png", 0)
    write_image(classes / "__MACOSX" / "cat" / "002.png", 0)
    (classes / "cat" / "._001.png").write_bytes(b"\0\5\x16\7")
    (classes / "bird").mkdir()
    for cached in (labelled_once, digest):
        cached.cache_clear()
    with pytest.warns(DataWarning) as told:
        after = labelled_splits(folders)
    assert sorted(str(warning.message) for warning in told) == [
        f"data: {classes}: 1 class folder without images skipped (bird)",
        f"data: {classes}: 3 hidden images skipped ('.' before the name, __MACOSX, @eaDir and the like)",
    ]
    assert identity(folders, "digits") == known
    assert after.train.classes == before.train.classes == ("cat", "dog")
    assert after.train.names == before.train.names
    assert torch.equal(after.test.images, before.test.images)


def test_the_command_tells_once_what_it_skips(cli: Run, classes: Path, tmp_path: Path) -> None:
    (classes / "cat" / "._001.png").write_bytes(b"")
    options = ("--set", f"tasks.classification.data.train={classes}", "--set", "seeds=[0]", "--out", tmp_path / "out")
    options += ("--set", 'methods=["scratch"]')
    done = cli("run", "smoke", "--task", "classification", "--workers", 1, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    told = f"data: {classes}: 1 hidden image skipped ('.' before the name, __MACOSX, @eaDir and the like)"
    assert done.stderr == f"distillbench: {told}\n"


# -- labels -------------------------------------------------------------------------------------------------------


def test_a_folder_gives_all_its_labels_and_the_digits_a_hundred(classes: Path) -> None:
    for setting, count in (
        ("seeds=[0]", 100),
        ("tasks.classification.labels=20", 20),
        (f"tasks.classification.data.train={classes}", 32),
    ):
        (pair,) = load("smoke", [setting], ["classification"]).pairs
        assert pair.build().examples("train") == count


@pytest.mark.parametrize("command", ["plan", "run"])
def test_fewer_labels_than_classes_are_refused(cli: Run, tmp_path: Path, command: str) -> None:
    options = ("--task", "classification", "--set", "tasks.classification.labels=3", "--out", tmp_path / "out")
    done = cli(command, "smoke", *options)
    refused(done, "tasks.classification.labels: 3 are too few for 10 classes (allowed: 10 and more)")
    assert not (tmp_path / "out" / "records").exists()


# -- sides that a network cannot take ----------------------------------------------------------------------------


SMALL = [
    ("super_resolution", "train", (40, 18), ["patch=10"], "data: small.png is 40×18; patch = 10 at ×2 needs sides of"),
    (
        "super_resolution",
        "test",
        (40, 14),
        ["patch=4"],
        "data: small.png is 40×14; SSIM, the border shaved by 2, needs",
    ),
    ("denoising", "train", (40, 20), ["patch=32"], "data: small.png is 40×20; patch = 32 needs sides of at least 32"),
    ("denoising", "test", (40, 10), ["patch=8"], "data: small.png is 40×10; SSIM needs sides of at least 11"),
    ("style_transfer", "train", (40, 20), ["patch=32"], "data: small.png is 40×20; patch = 32 needs sides of at least"),
    ("style_transfer", "test", (40, 20), ["patch=32"], "data: small.png is 40×20; the networks need sides of at least"),
    (
        "style_transfer",
        "train",
        (40, 40),
        ["patch=32", "student.network.kernel=71"],
        "patch: 32 is too small for the networks' kernels (allowed: 36 and more)",
    ),
]


@pytest.mark.parametrize(("task", "split", "size", "settings", "expected"), SMALL)
def test_photographs_too_small_are_refused_by_name(
    tmp_path: Path, task: str, split: str, size: tuple[int, int], settings: list[str], expected: str
) -> None:
    for i in range(10):
        write_image(tmp_path / split / f"{i}.png", i, (40, 40), "RGB")
    write_image(tmp_path / split / "small.png", 99, size, "RGB")
    overrides = [f"tasks.{task}.{setting}" for setting in (f"data.{split}={tmp_path / split}", *settings)]
    pair, *_ = load("smoke", overrides, [task]).pairs
    with pytest.raises(UserError) as error:
        check_data(pair, tmp_path / "none")
    assert str(error.value).startswith(f"tasks.{task}.{expected}")


def test_images_too_small_for_the_discriminator_are_refused_by_name(cli: Run, tmp_path: Path) -> None:
    for i in range(40):
        write_image(tmp_path / "in" / "ab"[i % 2] / f"{i:02d}.png", i, (6, 7))
    setting = f"tasks.gan.data.train={tmp_path / 'in'}"
    done = cli("plan", "smoke", "--task", "gan", "--set", setting, "--out", tmp_path / "out")
    refused(done, "tasks.gan.data: ", "a/00.png is 6×7; the discriminator needs sides of at least 8")


@pytest.mark.parametrize("name", ["super_resolution", "denoising", "style_transfer"])
def test_small_photographs_of_many_sizes_can_be_drawn(tmp_path: Path, name: str) -> None:
    for i in range(6):
        write_image(tmp_path / f"{i}.png", i, (40 + 8 * i, 80 - 7 * i), "RGB")
    for pair in load("smoke", [f"tasks.{name}.data.test={tmp_path}"], [name]).pairs:
        task = pair.build(extractor="untrained")
        task.check()
        students = {method: task.network("student").eval() for method in ("scratch", "mimic")}
        for figure in task.figures(students).values():
            assert isinstance(figure, ImageGrid)
            assert len({figure.rows[row].shape[-2:] for row in figure.rows if row != "style"}) == 1


# -- sizes of networks --------------------------------------------------------------------------------------------

SIZES = {
    "classification": {
        "student.network.hidden=[-5]": "student.network.hidden.0: input should be greater than or equal to 1, not '-5'",
        "student.network.hidden=[10000000000]": "student: its network takes about 11,176 GB to train",
        f"student.network.hidden=[1{'0' * 30}]": "student: its network takes more bytes than can be counted to train",
        "teacher.network.width=100000000": "teacher: its network takes about",
        "teacher.network.depth=100000000": "teacher.network.depth: input should be less than or equal to 100",
        "teacher.betas=[1, 2]": "teacher.betas.0: input should be less than 1, not '1'",
        "batch_size=1000000000000": "batch_size: input should be less than or equal to 65536",
    },
    "gan": {
        "latent=1000000000": "latent: input should be less than or equal to 4096",
        "samples=1000000000": "samples: input should be less than or equal to 100000",
        "discriminator.width=100000000": "teacher: its discriminator takes about",
    },
    "vae": {
        "latent=1000000000": "latent: input should be less than or equal to 4096",
        "teacher.network.hidden=[256, 0]": "teacher.network.hidden.1: input should be greater than or equal to 1",
    },
    "super_resolution": {"student.network.features=100000000": "student: its network takes about"},
    "denoising": {
        "sigma=1e308": "sigma: input should be less than or equal to 255, not '1e+308'",
        "student.network.depth=100000000": "student.network.depth: input should be less than or equal to 1000",
    },
    "style_transfer": {
        "student.network.kernel=4": "student.network.kernel: input should be odd, not '4'",
        "teacher.network.width=100000000": "teacher: its network takes about",
    },
}


@pytest.mark.parametrize(
    ("task", "setting", "expected"), [(task, *case) for task, cases in SIZES.items() for case in cases.items()]
)
def test_sizes_that_cannot_be_are_refused_when_the_suite_is_read(task: str, setting: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        load("quick", [f"tasks.{task}.{setting}"])
    assert f"tasks.{task}.{expected}" in str(error.value)


@pytest.mark.parametrize("suite", ["quick", "smoke"])
@pytest.mark.parametrize(
    ("setting", "memory", "where"),
    [
        ("student.network.hidden=[10000000000]", 1e9, "--set: tasks.vae.student"),
        ("student.learning_rate=0.5", 1e4, "tasks.vae.teacher"),
    ],
)
def test_who_set_a_size_is_named(
    suite: str, setting: str, memory: float, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distillbench.bench.suite.preflight.memory", lambda device: (memory, "this machine"))
    with pytest.raises(UserError) as error:
        load(suite, [f"tasks.vae.{setting}"], ["vae"])
    assert str(error.value).startswith(f"{where}: its network takes about")


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    with pytest.raises(UserError, match=r"pairs\.0: string should have at most 64 characters"):
        load("quick", [f'tasks.classification.pairs=["{"x" * 300}"]'])


def test_the_command_refuses_a_size_in_a_line(cli: Run, tmp_path: Path) -> None:
    setting = "tasks.gan.student.network.hidden=[10000000000]"
    done = cli("run", "quick", "--set", setting, "--out", tmp_path / "out")
    refused(done, "tasks.gan.student: its network takes about")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["classification", "gan", "vae"])
def test_without_hidden_layers_a_network_is_linear(name: str) -> None:
    (pair,) = load("smoke", [f"tasks.{name}.student.network.hidden=[]"], [name]).pairs
    task = pair.build()
    student = task.network("student")
    inputs = task.shared_inputs([0, 1, 2], torch.Generator().manual_seed(0))
    assert torch.isfinite(task.loss(student, inputs, task.forward(student, inputs)))
    weights = [p for p in task.deployed(student).parameters() if p.dim() == 2]
    assert len(weights) == (2 if name == "vae" else 1)


def test_reading_a_suite_reads_no_data_for_its_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise AssertionError("data were read")

    every = load("quick").pairs
    for name in ("labelled", "photograph"):
        monkeypatch.setattr(f"distillbench.tasks.data.folders.{name}_splits", read)
    for pair in every:
        for role in ROLES:
            assert training_bytes.__wrapped__(pair, role)
