"""Folders as users have them: nested, linked to themselves, with what systems leave in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from distillbench.common.errors import DataError, DataWarning, warn_once
from distillbench.tasks.base import Folders
from distillbench.tasks.data.folders import labelled_outline, labelled_splits, photograph_splits
from distillbench.tasks.data.image_files import image_names
from support.images import write_image
from support.processes import Run, refused


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    warn_once.cache_clear()
    for i in range(40):
        write_image(tmp_path / "set" / ("cat" if i % 2 else "dog") / f"{i:03d}.png", i)
    return tmp_path / "set"


# -- classes --------------------------------------------------------------------------------------------------------


def test_a_class_is_the_folder_of_the_first_level(classes: Path) -> None:
    for i, place in enumerate(("cat/a/1.png", "cat/b/1.png", "dog/dog/1.png")):
        write_image(classes / place, 100 + i)
    splits = labelled_splits(Folders(train=classes))
    label_of = {
        name: part.classes[label]
        for part in (splits.train, splits.validation, splits.test)
        for name, label in zip(part.names, part.labels.tolist(), strict=True)
    }
    assert len(label_of) == 43  # as many names as images
    assert [label_of[name] for name in ("cat/a/1.png", "cat/b/1.png", "dog/dog/1.png")] == ["cat", "cat", "dog"]


@pytest.mark.parametrize(("place", "both"), [("cat/dog/x.png", "cat and dog"), ("set/cat/x.png", "set and cat")])
def test_an_image_under_two_classes_is_refused(place: str, both: str, classes: Path) -> None:
    write_image(classes / place, 100)
    with pytest.raises(DataError, match=rf"{place} is in two classes, {both}; classes are folders of one level"):
        labelled_splits(Folders(train=classes))


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information"])
def test_what_systems_leave_is_no_class(name: str, classes: Path) -> None:
    write_image(classes / name / "cat" / "SYNOPHOTO_THUMB_M.jpg", 100)
    write_image(classes / "dog" / name / "000.png" / "SYNOPHOTO_THUMB_S.jpg", 101)
    with pytest.warns(DataWarning, match=r"2 hidden images skipped \('\.' before the name, __MACOSX, @eaDir and"):
        splits = labelled_splits(Folders(train=classes))
    assert splits.train.classes == ("cat", "dog")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 40


def test_a_picture_under_two_labels_is_told_in_a_line(classes: Path) -> None:
    for i in (1, 3):
        with Image.open(classes / "cat" / f"{i:03d}.png") as image:
            image.save(classes / "dog" / f"again{i}.bmp")
    write_image(classes.parent / "validation" / "cat" / "1.png", 100)
    write_image(classes.parent / "test" / "cat" / "1.png", 101)
    own = {split: classes.parent / split for split in ("validation", "test")}
    with pytest.warns(DataWarning) as told:
        labelled_splits(Folders(train=classes, **own))
    (line,) = (str(warning.message) for warning in told)
    both = f"{classes}/cat/001.png and {classes}/dog/again1.bmp are the same picture under two labels"
    assert line == f"data: {both} (one of 2 such pairs)"


# -- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("link", "target"), [("cat/up", ".."), ("set", "."), ("a", "a"), (".hidden", "dog")])
def test_links_that_lead_back_add_nothing(link: str, target: str, classes: Path) -> None:
    before = image_names(classes)
    (classes / link).symlink_to(target)
    assert image_names(classes) == before
    assert labelled_splits(Folders(train=classes)).train.classes == ("cat", "dog")


def test_links_to_other_folders_are_followed_once(classes: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "pool" / "1.png", 100)
    write_image(classes / ".store" / "2.png", 101)
    (classes / "bird").symlink_to(tmp_path / "pool")
    (classes / "cow").symlink_to(classes / ".store")
    (classes / "crow").symlink_to(tmp_path / "pool")
    names = image_names(classes)
    assert [name for name in names if not name.startswith(("cat", "dog"))] == ["bird/1.png", "cow/2.png"]
    with pytest.warns(DataWarning, match=r"1 class folder without images skipped \(crow\)"):
        assert labelled_outline(Folders(train=classes)).train.classes == ("bird", "cat", "cow", "dog")


# -- files ----------------------------------------------------------------------------------------------------------


def test_what_pillow_reads_is_read_and_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    warn_once.cache_clear()
    for i, suffix in enumerate((".jfif", ".jpe", ".JP2", ".png", ".tga")):
        write_image(tmp_path / f"{i}{suffix}", i, (40, 40), "RGB")
    (tmp_path / "4.pnm").write_bytes(b"P6 40 40 255\n" + bytes(range(240)) * 20)
    for name in ("a.eps", "b.heic", "c.heic", "labels.txt", "Thumbs.db", "folder.ico", "README", ".DS_Store"):
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(DataWarning) as told:
        names = image_names(tmp_path)
    assert names == ["0.jfif", "1.jpe", "2.JP2", "3.png", "4.pnm", "4.tga"]
    (line,) = (str(warning.message) for warning in told)
    assert line.startswith(f"data: {tmp_path}: 6 files skipped, not read as images (2 .heic, ")
    assert all(kind in line for kind in ("1 .eps", "1 .txt", "1 .ico", "1 no suffix"))
    assert len(photograph_splits(Folders(test=tmp_path)).test) == 6


def test_a_pipe_with_the_name_of_a_picture_is_refused(classes: Path) -> None:
    os.mkfifo(classes / "cat" / "pipe.png")
    with pytest.raises(DataError, match=r"cat/pipe\.png is not a regular file"):
        labelled_splits(Folders(train=classes))


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [b"cat/\xff.png", b"\xe9t\xe9/1.png"])
def test_a_name_that_no_record_can_hold_is_refused_before_training(
    place: bytes, classes: Path, cli: Run, tmp_path: Path
) -> None:
    path = os.fsdecode(os.fsencode(classes) + b"/" + place)
    write_image(Path(path), 100)
    with pytest.raises(DataError) as error:
        labelled_splits(Folders(train=classes))
    shown = place.decode(errors="backslashreplace")
    message = f"data: {classes}: the name {shown} is not valid UTF-8; rename it"
    assert str(error.value) == message
    setting = f"tasks.classification.data.train={classes}"
    done = cli("run", "smoke", "--task", "classification", "--set", setting, "--out", tmp_path / "out")
    refused(done, message)
    assert not (tmp_path / "out").exists()


def test_other_alphabets_are_names_as_others(classes: Path) -> None:
    write_image(classes / "猫" / "été.png", 100)
    assert "猫/été.png" in image_names(classes)
