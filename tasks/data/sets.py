"""The standard sets that there are by name: what each is, where its files lie, and whether they are there.

What is known of each stands in ``sets.toml``. It is no part of the code that decides a figure: the digest of what a set
decodes to is part of a configuration, so that another set, or another word about one, makes no record stale.
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
from distillbench.tasks.data.suffixes import pictures

ROOT = "DISTILLBENCH_DATA"
"""The environment variable that says under which folder the sets lie."""
Kind = Literal["labelled", "photographs"]
WORDS: Mapping[Kind, str] = {"labelled": "labelled images", "photographs": "photographs"}
EMBEDDED: Mapping[str, Kind] = {"digits": "labelled", "photographs": "photographs"}
"""What is taken where no setting names any data, by the names that stand in configurations."""
Presence = Literal["found", "incomplete", "missing"]
Chosen = tuple["StandardSet | None", "StandardSet | None"]


class StandardSet(BaseModel):
    """One entry of the table.

    images: how many there are, by split, as the set is distributed; where there is no validation it is a tenth of
    train. files: by path, each with its MD5, or '' where that is not known. folders: of pictures, by split. package: in
    which the files are, in place of the data root; extra: of ours, which installs it. reader: torchvision's class, or
    of ``reading``. pixels: their digest (``pixel_digest``), or '' where no copy was at hand. shares: sets with some of
    the same pictures.
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
        """Whether a program can get it."""
        return self.kind == "labelled" and not self.package

    @property
    def carved(self) -> bool:
        """Whether its validation split is a tenth of train."""
        return "train" in self.images and "validation" not in self.images

    @property
    def by_split(self) -> bool:
        """How torchvision's class is told which part is wanted: by name, or whether it is train."""
        return self.reader in ("SVHN", "STL10")

    @property
    def credit(self) -> str:
        """'CIFAR-10 (Krizhevsky 2009; no licence stated)'."""
        return f"{self.title} ({self.citation}; {self.licence})"

    def base(self) -> Path:
        """What the paths of its files start from. Raises DataError where there is no such folder, or no package."""
        try:
            return package_folder(self.package, self.extra) if self.package else root()
        except DataError as error:
            raise DataError(f"{self.name!r}: {error.problem}") from error

    def paths(self, base: Path) -> list[Path]:
        """Its files, or its folders of pictures."""
        return [base / path for path in (*self.files, *dict.fromkeys(self.folders.values()))]


@lru_cache(maxsize=1)
def table() -> Mapping[str, StandardSet]:
    """Every set by its name."""
    entries = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {name: StandardSet.model_validate({"name": name} | entry) for name, entry in entries.items()}


def root() -> Path:
    """Where the sets lie. Raises DataError where nobody says, or where there is no folder."""
    where = os.environ.get(ROOT, "")
    if not where:
        raise DataError(f"no data root is given (--data DIR, or the environment variable {ROOT})")
    try:
        folder = expanded(where)
    except UserError as error:
        raise DataError(f"the data root {error}") from error
    if not folder.is_dir():
        raise DataError(f"the data root {where} is not a folder (--data DIR, or the environment variable {ROOT})")
    return folder


def package_folder(package: str, extra: str) -> Path:
    """Where an installed package lies, which is not imported. Raises DataError where it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"needs the package {package} (pip install 'distillbench[{extra}]')")
    return Path(spec.submodule_search_locations[0])


def presence(its: StandardSet) -> Presence:
    """Whether its files are there; their content is not looked at."""
    try:
        base = its.base()
    except DataError:
        return "missing"
    found = [path.exists() for path in its.paths(base)]
    if not any(found):
        return "missing"
    counts = {split: len(pictures(base / folder)) for split, folder in its.folders.items()}
    whole = all(found) and all(count == its.images[split] for split, count in counts.items())
    return "found" if whole else "incomplete"


def absent(its: StandardSet, base: Path) -> Iterator[Path]:
    """Of its files and folders, what is not there."""
    return (path for path in its.paths(base) if not path.exists())


def how_to_get(its: StandardSet, base: Path | str) -> str:
    """One line: the command that fetches it, or where it is to be had and how it is laid out."""
    if its.package:
        return f"pip install 'distillbench[{its.extra}]'"
    if its.fetched:
        return f"distillbench data fetch {its.name} --data {base}"
    layout = ", ".join(f"{its.images[split]} pictures in {base}/{folder}" for split, folder in its.folders.items())
    return f"get it from {its.origin} and lay it out as {layout}"


def known(name: str, kind: Kind | None = None) -> StandardSet:
    """A set by name, of one kind of task. Raises DataError, with a suggestion and what is allowed."""
    every = table()
    allowed = [each.name for each in every.values() if kind in (None, each.kind)]
    if name in allowed:
        return every[name]
    if name in every and kind is not None:
        is_ = f"{name!r} is a set of {WORDS[every[name].kind]}, and {WORDS[kind]} are wanted"
        raise DataError(is_, allowed=sorted(allowed))
    raise DataError(f"unknown set {name!r}", allowed=sorted(allowed), name=name)


def chosen(name: str | None, test_name: str | None, own_test: bool, kind: Kind) -> Chosen:
    """The set to train on and the one to report on, as settings name them; own_test: a folder takes its place.

    Raises DataError, which names the setting.
    """
    with about("data.name"):
        train = known(name, kind) if name else None
        if train is not None and "train" not in train.images:
            raise DataError(f"{train.name!r} is a test set: train on another, and set data.test_name = {train.name!r}")
        if train is not None and "test" not in train.images and not (test_name or own_test):
            others = ", ".join(s.name for s in table().values() if s.kind == kind and "train" not in s.images)
            raise DataError(f"{train.name!r} has no test images: set data.test_name ({others}) or data.test")
    with about("data.test_name"):
        test = known(test_name, kind) if test_name else None
        if test is not None and "test" not in test.images:
            raise DataError(f"{test.name!r} has no test images")
        if test is not None and train is not None and test.name in (train.name, *train.shares):
            same = "is the training set" if test == train else f"has pictures that are in {train.name!r} as well"
            raise DataError(f"{test.name!r} {same}; train, validation and test must be disjoint")
    return train, test


@contextmanager
def about(setting: str) -> Iterator[None]:
    """Within it a DataError names the setting that it is about."""
    try:
        yield
    except DataError as error:
        error.field = setting
        raise


def settings_of(identity: Any) -> dict[str, str]:
    """The ``data`` settings that a configuration's data tell: names of standard sets, which lie under any root."""
    if not isinstance(identity, Mapping):
        return {}
    inner = identity.get("images", identity.get("photographs", identity))
    if not isinstance(inner, Mapping):
        return {}
    test = inner.get("test")
    found = {"name": inner.get("name"), "test_name": test.get("name") if isinstance(test, Mapping) else None}
    return {setting: name for setting, name in found.items() if isinstance(name, str) and name not in EMBEDDED}
