"""The embedded images, and folders of the user's own."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from distillbench.bench.run.job_graph import job_graph
from distillbench.bench.run.jobs import prepared_task
from distillbench.bench.run.plan import plan
from distillbench.bench.store.weights import save_weights
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import DataWarning, warn_once
from distillbench.tasks.base import Folders
from distillbench.tasks.classification import few_labels
from distillbench.tasks.data.augmentation import random_shifts
from distillbench.tasks.data.crops import centre_crop, crop_batch
from distillbench.tasks.data.embedded import digits, photographs
from distillbench.tasks.data.files import DataError, digest, read, read_all
from distillbench.tasks.data.folders import labelled_splits, photograph_splits
from distillbench.tasks.data.image_files import image_names
from support.images import write_image


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    for i in range(60):
        write_image(tmp_path / "train" / ("cat" if i % 2 else "dog") / f"{i:03d}.png", i)
    return tmp_path / "train"


def test_digits_are_split_without_overlap() -> None:
    splits = digits()
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [997, 300, 500]
    names = [set(part.names) for part in (splits.train, splits.validation, splits.test)]
    assert len(set.union(*names)) == 1797


def test_photographs_are_split_by_picture() -> None:
    splits = photographs()
    names = [part.names for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in names] == [8, 2, 6]
    assert len({name for part in names for name in part}) == 16
    contents = {
        image.numpy().tobytes() for part in (splits.train, splits.validation, splits.test) for image in part.images
    }
    assert len(contents) == 16


def test_few_labels_are_the_same_number_of_each_class_and_the_same_every_time() -> None:
    few = few_labels(digits().train, 100)
    assert few is not None
    assert torch.bincount(digits().train.labels[few]).tolist() == [10] * 10
    assert torch.equal(few, few_labels(digits().train, 100))  # type: ignore[arg-type]
    assert few_labels(digits().train, None) is None


def test_class_folders_are_carved_by_class_and_disjoint(class_folders: Path) -> None:
    splits = labelled_splits(Folders(train=class_folders))
    parts = (splits.train, splits.validation, splits.test)
    assert splits.train.classes == ("cat", "dog")
    assert [len(part) for part in parts] == [48, 6, 6]
    assert len({name for part in parts for name in part.names}) == 60
    assert all(set(part.labels.tolist()) == {0, 1} for part in parts)


def test_a_given_test_folder_is_taken_whole_and_validation_is_carved_from_train(tmp_path: Path) -> None:
    for i in range(20):
        write_image(tmp_path / "a" / f"{i}.png", i, (40, 30), "RGB")
    for i in range(3):
        write_image(tmp_path / "b" / f"{i}.png", 100 + i, (50, 30), "RGB")
    splits = photograph_splits(Folders(train=tmp_path / "a", test=tmp_path / "b"))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [18, 2, 3]
    assert splits.test.images[0].shape == (3, 30, 50)


def test_a_test_folder_alone_keeps_the_embedded_training_pictures(tmp_path: Path) -> None:
    write_image(tmp_path / "x.png", 0, (40, 40), "RGB")
    splits = photograph_splits(Folders(test=tmp_path))
    assert len(splits.train) == 8
    assert splits.test.names == ("x.png",)


def test_a_picture_may_not_be_in_two_splits(class_folders: Path) -> None:
    with pytest.raises(DataError, match="is in two splits"):
        labelled_splits(Folders(train=class_folders, test=class_folders))
    (class_folders.parent / "link").symlink_to(class_folders)
    with pytest.raises(DataError, match="is in two splits"):
        labelled_splits(Folders(train=class_folders, test=class_folders.parent / "link"))


def test_two_files_of_one_content_may_not_be_in_two_splits(class_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "test" / "dog").mkdir(parents=True)
    (tmp_path / "test" / "dog" / "another_name.png").write_bytes((class_folders / "cat" / "001.png").read_bytes())
    write_image(tmp_path / "test" / "cat" / "new.png", 1000)
    with pytest.raises(
        DataError, match=r"cat/001\.png and .*another_name\.png are the same picture, and in two splits"
    ):
        labelled_splits(Folders(train=class_folders, test=tmp_path / "test"))
    write_image(tmp_path / "test" / "dog" / "another_name.png", 1001)
    assert len(labelled_splits(Folders(train=class_folders, test=tmp_path / "test")).test) == 2


def test_pictures_of_equal_names_in_two_folders_are_two_pictures(tmp_path: Path) -> None:
    for i, folder in enumerate(("a", "b")):
        write_image(tmp_path / "test" / folder / "1.png", i, (40, 30), "RGB")
    assert photograph_splits(Folders(test=tmp_path / "test")).test.names == ("a/1.png", "b/1.png")


def test_pictures_to_look_at_are_of_all_classes() -> None:
    shown = digits().test.spread(20)
    assert torch.bincount(shown.labels).tolist() == [2] * 10
    train = photographs().train
    assert all(shown is train.images[i] for shown, i in zip(train.spread(4).images, (0, 2, 4, 6), strict=True))


def test_what_cannot_be_used_is_named(tmp_path: Path, class_folders: Path) -> None:
    with pytest.raises(DataError, match="nowhere is not a folder"):
        image_names(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image under"):
        image_names(tmp_path / "empty")
    write_image(class_folders / "dog" / "wide.png", 0, (9, 8))
    with pytest.raises(DataError, match=r"wide\.png is 9×8, but .* is 8×8"):
        labelled_splits(Folders(train=class_folders))
    (class_folders / "dog" / "wide.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"wide\.png cannot be read as an image"):
        labelled_splits(Folders(train=class_folders, validation=None))
    (class_folders / "dog" / "wide.png").unlink()
    write_image(class_folders / "stray.png", 0)
    with pytest.raises(DataError, match=r"stray\.png is in no class folder \(classes: cat, dog\)"):
        labelled_splits(Folders(train=class_folders))
    write_image(tmp_path / "few" / "a" / "1.png", 0)
    with pytest.raises(DataError, match="at least two class folders"):
        labelled_splits(Folders(train=tmp_path / "few"))


def test_the_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    digests = set()
    for name, seed in (("a", 0), ("a", 1), ("b", 0)):
        folder = tmp_path / f"{name}{seed}"
        write_image(folder / f"{name}.png", seed)
        digests.add(digest(folder))
    assert len(digests) == 3


def test_decoded_images_are_kept_found_again_and_made_again_when_damaged_or_changed(tmp_path: Path) -> None:
    for i, size in enumerate([(8, 8), (9, 5), (4, 7)]):
        write_image(tmp_path / "in" / f"{i}.png", i, size, "RGB")
    paths, cache = [tmp_path / "in" / name for name in image_names(tmp_path / "in")], tmp_path / "cache"
    truth = [read(path, "RGB") for path in paths]

    def same() -> bool:
        return all(map(torch.equal, read_all(paths, "RGB", cache), [read(path, "RGB") for path in paths]))

    assert all(map(torch.equal, read_all(paths, "RGB"), truth))
    assert not cache.exists()
    assert same()
    (kept,) = (cache / "images").iterdir()
    whole = kept.read_bytes()
    read_all(paths[:2], "RGB", cache)
    (other,) = set((cache / "images").iterdir()) - {kept}
    changed = whole[:-1] + bytes([whole[-1] ^ 255])
    for damaged in (whole[:-5], b"", b"not a cache file", changed, other.read_bytes()):
        kept.write_bytes(damaged)
        warn_once.cache_clear()
        with pytest.warns(DataWarning, match=f"{kept} is damaged"):
            assert same()
        assert kept.read_bytes() == whole
    write_image(paths[0], 7, (8, 8), "RGB")
    os.utime(paths[0], ns=(0, 0))
    assert same()


def test_crops_stay_inside_and_follow_the_generator() -> None:
    image = torch.arange(3 * 20 * 30).remainder(251).to(torch.uint8).view(3, 20, 30)
    first, second = (crop_batch([image], [0] * 50, 16, torch.Generator().manual_seed(4), flip=True) for _ in range(2))
    assert first.shape == (50, 3, 16, 16)
    assert torch.equal(first, second)
    with pytest.raises(DataError, match="smaller than the patch size"):
        crop_batch([image], [0], 24, torch.Generator())
    assert centre_crop(image, 16, 4).shape == (3, 16, 16)


def test_flat_patches_are_drawn_again_where_contrast_is_wanted() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[:, :, 40:] = torch.arange(24, dtype=torch.uint8) * 10
    plain, textured = (
        crop_batch([image], [0] * 60, 16, torch.Generator().manual_seed(1), contrast=least) for least in (0, 8)
    )
    spans = [(255 * (patches.amax((1, 2, 3)) - patches.amin((1, 2, 3)))) for patches in (plain, textured)]
    assert (spans[0] == 0).any()
    assert (spans[1] >= 8).all()
    flat = torch.zeros(3, 32, 32, dtype=torch.uint8)  # nothing else to be had
    assert crop_batch([flat], [0], 16, torch.Generator(), contrast=8).shape == (1, 3, 16, 16)


def test_shifts_move_by_at_most_an_eighth_and_fill_with_zeros() -> None:
    images = torch.zeros(200, 1, 8, 8)
    images[:, :, 4, 4] = 1
    shifted = random_shifts(images, torch.Generator().manual_seed(0))
    where = shifted.flatten(1).argmax(1)
    assert set((where // 8).tolist()) == set((where % 8).tolist()) == {3, 4, 5}
    assert shifted.sum() == 200


def test_a_style_that_is_too_small_is_named(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (40, 20)).save(path)
    pair = load("smoke", [f'tasks.style_transfer.style="{path}"'], ["style_transfer"]).pairs[0]
    with pytest.raises(DataError, match=f"style: {path} is 40×20, but needs sides of 32"):
        _ = pair.build().style_picture  # type: ignore[attr-defined]


def test_a_worker_does_not_hash_the_users_files_again(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load("smoke", [f"tasks.gan.data.train={class_folders}"], ["gan"])
    jobs = job_graph(plan(suite, tmp_path, tmp_path)).jobs
    pair = jobs[0].pair
    assert pair.feature_extractor is not None
    save_weights(pair.extractor_path(tmp_path), pair.feature_extractor.build(), str(pair.extractor_hash))
    sent = pickle.loads(pickle.dumps(jobs))

    def hashed(*_: object) -> None:
        raise AssertionError("the files were hashed again")

    monkeypatch.setattr("distillbench.tasks.data.folders.digest", hashed)
    for job in sent:
        assert prepared_task(job.pair, tmp_path).feature_extractor is not None
        assert all(cell.hash for cell in job.cells)
    with pytest.raises(AssertionError, match="hashed again"):
        pair.build().extractor_recipe().config  # noqa: B018
