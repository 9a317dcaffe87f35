"""Transfer sets, labels and originals that cannot be: refused in a line before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from support.images import write_image
from support.processes import Run, refused

LARGER = 100
"""The first seed of images that are in no other folder."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with what their names say."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(40):
        write_image(folder / "train" / "ab"[i % 2] / f"{i:03d}.png", i)
        write_image(folder / "coloured" / "ab"[i % 2] / f"{i:03d}.png", i, mode="RGB")
    for i in range(LARGER, LARGER + 6):
        write_image(folder / "more" / f"{i}.png", i)
        write_image(folder / "wide" / f"{i}.png", i, (9, 8))
        write_image(folder / "rgb" / f"{i}.png", i, mode="RGB")
        write_image(folder / "small" / f"{i}.png", i, (9, 20))
    for i in range(12):
        write_image(folder / "pictures" / f"{i:03d}.png", i, (60, 60))
    for name in ("empty", "text", "junk", "halved"):
        (folder / name).mkdir()
    (folder / "text" / "readme.txt").write_text("no image")
    (folder / "junk" / "x.png").write_bytes(b"no image either")
    with Image.open(folder / "more" / f"{LARGER}.png") as image:
        image.save(folder / "halved" / "x.bmp")
    whole = (folder / "halved" / "x.bmp").read_bytes()
    (folder / "halved" / "x.bmp").write_bytes(whole[: len(whole) // 2])
    return folder


AMOUNT = "transfer: input should be a whole number from 1 on, or 'rest', not "
REFUSED: list[tuple[str, tuple[str, ...], str]] = [
    # amounts
    ("classification", ("transfer=true",), f"{AMOUNT}'True'"),
    ("classification", ('transfer="Rest"',), f"{AMOUNT}'Rest'"),
    ("classification", ("transfer=0",), f"{AMOUNT}'0'"),
    ("classification", ("transfer=-3",), f"{AMOUNT}'-3'"),
    ("classification", ("transfer=2.5",), f"{AMOUNT}'2.5'"),
    ("classification", ("transfer=nan",), f"{AMOUNT}'nan'"),
    ("classification", ("transfer=[5]",), f"{AMOUNT}'[5]'"),
    ("classification", ("transfer=898",), "transfer: 898 is more than the 897 images that labels leaves of 997"),
    ("classification", ("transfer=1e9",), "transfer: 1000000000 is more than the 897 images that labels leaves of 997"),
    ("vae", ("images=100", "transfer=898"), "transfer: 898 is more than the 897 images that images leaves of 997"),
    ("denoising", ("originals=3", "transfer=6"), "transfer: 6 is more than the 5 images that originals leaves of 8"),
    ("classification", ("data.train={train}", "labels=30", "transfer=3"), "transfer: 3 is more than the 2 images that"),
    (
        "classification",
        ("data.transfer={more}", "transfer=7"),
        "transfer: 7 is more than the 6 images of data.transfer",
    ),
    # nothing left
    (
        "classification",
        ("labels=997", 'transfer="rest"'),
        "transfer: no training image is left for it: labels takes all",
    ),
    ("classification", ("data.train={train}", 'transfer="rest"'), "transfer: no training image is left for it: labels"),
    (
        "vae",
        ('transfer="rest"',),
        "transfer: no training image is left for it: images takes all (allowed: fewer images,",
    ),
    ("denoising", ("transfer=1",), "transfer: no training image is left for it: originals takes all (allowed: fewer"),
    ("super_resolution", ("originals=8", "transfer=1"), "transfer: no training image is left for it: originals takes"),
    ("denoising", ('teacher_data="all"',), "teacher_data: no training image is left for it: originals takes all"),
    # beyond the data
    ("classification", ("labels=998",), "labels: 998 are more than the 997 training images"),
    ("vae", ("images=998",), "images: 998 are more than the 997 training images"),
    ("gan", ("images=998",), "images: 998 are more than the 997 training images"),
    ("gan", ('teacher_data="all"',), "teacher_data: no training image is left for it: images takes all"),
    ("vae", ("images=0",), "images: input should be greater than or equal to 1, not '0'"),
    ("super_resolution", ("originals=9",), "originals: 9 are more than the 8 training images"),
    ("denoising", ("originals=9",), "originals: 9 are more than the 8 training images"),
    # without effect
    ("classification", ("transfer_batch=4",), "transfer_batch: has no effect: there is no transfer set"),
    ("gan", ("transfer_batch=4",), "transfer_batch: has no effect: there is no transfer set"),
    (
        "classification",
        ("transfer=9", "transfer_batch=0"),
        "transfer_batch: input should be greater than or equal to 1",
    ),
    (
        "classification",
        ("transfer=9", "transfer_batch=70000"),
        "transfer_batch: input should be less than or equal to 65",
    ),
    # tasks without one
    ("gan", ("transfer=5",), "transfer: gan has no transfer set: its inputs are drawn without end"),
    ("gan", ("data.transfer={more}",), "data.transfer: gan has no transfer set: its inputs are drawn without end"),
    ("gan", ("data.transfer=/nowhere",), "data.transfer: gan has no transfer set: its inputs are drawn without end"),
    ("style_transfer", ('transfer="rest"',), "transfer: style_transfer has no transfer set: its inputs have no ground"),
    (
        "style_transfer",
        ("data.transfer_name=set5",),
        "data.transfer_name: style_transfer has no transfer set: its inputs",
    ),
    # folders
    ("classification", ("data.transfer={nowhere}",), "data.transfer: {nowhere} is not a folder"),
    ("classification", ("data.transfer={more}/100.png",), "data.transfer: {more}/100.png is not a folder"),
    ("classification", ("data.transfer={empty}",), "data.transfer: no image under {empty}"),
    ("denoising", ("data.transfer={empty}",), "data.transfer: no image under {empty}"),
    ("classification", ("data.transfer={junk}",), "data.transfer: {junk}/x.png cannot be read as an image"),
    ("denoising", ("data.transfer={junk}",), "data.transfer: {junk}/x.png cannot be read as an image"),
    ("classification", ("data.transfer={halved}",), "data.transfer: {halved}/x.bmp cannot be read as an image"),
    ("classification", ("data.transfer={wide}",), "data.transfer: {wide}/100.png is 9×8, but training images are 8×8"),
    (
        "classification",
        ("data.transfer={rgb}",),
        "data.transfer: {rgb}/100.png is in colour, but training images are g",
    ),
    (
        "classification",
        ("data.train={coloured}", "data.transfer={more}"),
        "data.transfer: {more}/100.png is grey, as all others are, but training images are in colour",
    ),
    ("vae", ("data.transfer={rgb}",), "data.transfer: {rgb}/100.png is in colour, but training images are grey"),
    ("super_resolution", ("data.transfer={small}",), "data: 100.png is 8×20; patch = 16 needs sides of at least 16"),
    ("denoising", ("data.transfer={small}",), "data: 100.png is 9×20; patch = 32 needs sides of at least 32"),
    # in another split
    (
        "classification",
        ("data.train={train}", "data.transfer={train}"),
        "data.transfer: a/000.png is the same picture as a/000.png of train; no other split may overlap the",
    ),
    (
        "classification",
        ("data.train={train}", "data.transfer={train}/a"),
        "data.transfer: 000.png is the same picture as a/000.png of train;",
    ),
    (
        "classification",
        ("data.train={train}", "labels=4", "data.transfer={train}/a"),
        "data.transfer: 002.png is the same picture as a/002.png of validation;",
    ),
    (
        "denoising",
        ("data.train={pictures}", "patch=16", "data.transfer={pictures}"),
        "data.transfer: 000.png is the same picture as 000.png of train;",
    ),
    # sets by name
    ("classification", ("data.transfer_name=nope",), "data.transfer_name: unknown set 'nope' (allowed: cifar10,"),
    (
        "classification",
        ("data.transfer_name=set5",),
        "data.transfer_name: 'set5' is a set of photographs; the task nee",
    ),
    (
        "denoising",
        ("data.transfer_name=mnist",),
        "data.transfer_name: 'mnist' is a set of labelled images; the task ne",
    ),
    ("denoising", ("data.transfer_name=set5",), "data.transfer_name: 'set5' is a test set"),
    (
        "classification",
        ("data.name=mnist_sample", "data.transfer_name=mnist_sample"),
        "data.transfer_name: 'mnist_sample' is the training set itself; transfer = 'rest' is what it leaves",
    ),
    (
        "classification",
        ("data.transfer_name=mnist_sample",),
        "data.transfer_name: 'mnist_sample' has images of 28×28 pixels in grey, but training images are of 8×8 pixels",
    ),
    (
        "classification",
        ("data.transfer={more}", "data.transfer_name=mnist_sample"),
        "data: transfer_name and transfer exclude each other",
    ),
]


@pytest.mark.parametrize(("task", "settings", "expected"), REFUSED, ids=lambda value: None)
def test_a_line_says_what_is_wrong_before_anything_is_trained(
    cli: Run, folder: Path, tmp_path: Path, task: str, settings: tuple[str, ...], expected: str
) -> None:
    places = {path.name: path for path in folder.iterdir()} | {"nowhere": folder / "nowhere"}
    options = [option for setting in settings for option in ("--set", f"tasks.{task}.{setting.format(**places)}")]
    done = cli("run", "smoke", "--task", task, *options, "--out", tmp_path / "out")
    refused(done, f"tasks.{task}.{expected.format(**places)}")
    assert not list((tmp_path / "out").glob("records"))


def test_an_empty_folder_beside_other_files_is_told(cli: Run, folder: Path, tmp_path: Path) -> None:
    setting = f"tasks.classification.data.transfer={folder / 'text'}"
    done = cli("plan", "smoke", "--task", "classification", "--set", setting, "--out", tmp_path / "out")
    assert done.returncode == 2
    told, line = done.stderr.splitlines()
    assert told == f"distillbench: data: {folder / 'text'}: 1 file skipped, not read as images (1 .txt)"
    assert f"tasks.classification.data.transfer: no image under {folder / 'text'}" in line


def test_a_suite_is_told_in_its_own_file(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    for text, expected in (
        ("[tasks.classification]\ntransfer_batch = 4\n", "has no effect: there is no transfer set"),
        ("[tasks.gan]\ntransfer = 4\n", "gan has no transfer set: its inputs are drawn without end"),
        ("[tasks.vae]\ntransfer = 'all'\n", f"{AMOUNT.partition(': ')[2]}'all'"),
    ):
        suite.write_text(text)
        refused(cli("plan", suite, "--out", tmp_path / "out"), f"{suite}: tasks.", expected)


def test_what_takes_a_transfer_set_away_takes_its_batch_as_well(cli: Run, tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text("[tasks.classification]\ntransfer = 50\ntransfer_batch = 4\n")
    options = ("--set", "tasks.classification.transfer=none", "--out", tmp_path / "out")
    assert cli("plan", suite, *options).returncode == 0
