"""Every command and snippet of the documents does what it says there: long runs with three steps and one seed."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distillbench.bench.suite.registry import TASKS
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from support.paths import PLUGIN, ROOT
from support.processes import Run, finish

README = ROOT / "README.md"
NEWCOMERS = (README, ROOT / "docs" / "getting-started.md")
"""Documents of which every command is run."""
DOCUMENTS = [
    README,
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "bring-your-own.md"),  # followed as a whole
]
SHORT = ["--set", "steps=3"]
FEW = {
    "gan": ["tasks.gan.samples=200"],
    "vae": ["tasks.vae.samples=200", "tasks.vae.importance_samples=2"],
}
"""What makes evaluation short, by task."""
READERS = re.compile(r"[= ][A-Z][A-Z0-9]+\b|(mine|again|set5|cosine\.tuned)\.toml")
"""Folders and files of the reader's own."""
OF_RUNS = re.compile(r" --(executor|address|shard|gpus-per-job) \S+| --share\b")
"""Options that a plan has not."""


def commands(path: Path) -> list[str]:
    """Indented lines that call the program, continued lines joined, without what stands after '#'."""
    text = re.sub(r"\\\n\s*", "", path.read_text())
    lines = re.findall(r"^    (?:\$ )?(distillbench .*)$", text, re.MULTILINE)
    return list(dict.fromkeys(re.sub(r"\s+#.*", "", line).strip() for line in lines))


def snippets(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def shortened(command: str) -> list[str]:
    """As it is typed, but that a run takes seconds: three steps, one seed, one task or two, and few samples."""
    name, *arguments = shlex.split(command)[1:]
    if name == "run":
        arguments += [*SHORT, "--cache", "kept", "--workers", "1"]  # what evaluates images is trained once for all
        if not {"--seeds", "--device"} & set(arguments):
            arguments += ["--seeds", "0"]
        if "--task" not in arguments and "quick" in arguments:
            arguments += ["--task", "gan" if "--out" in arguments else "gan,vae"]
        if "--task" in arguments:
            for task in arguments[arguments.index("--task") + 1].split(","):
                arguments += [word for setting in FEW.get(task, ()) for word in ("--set", setting)]
    if name == "table" and "--task" in arguments:  # of what was run above
        value = arguments.index("--task") + 1
        assert set(arguments[value].split(",")) <= set(TASKS.names())
        arguments[value] = "gan"
    if name == "tune":
        arguments += [*SHORT, "--task", "classification", "--trials", "2", "--seeds", "100", "--confirm", "101,102"]
    if name == "time":
        arguments += ["--task", "gan", "--backends", "eager", "--batch", "1", "--launches", "1"]
    return [name, *arguments]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents take for granted: photographs, and the suites that they show."""
    folder = tmp_path_factory.mktemp("reader")
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 2)):
        (folder / "photos" / part).mkdir(parents=True)
        for i in range(count):
            picture = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / "photos" / part / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def reader(cli: Run, place: Path) -> Callable[[str], None]:
    """A reader who types a command, and has the method that the README shows."""
    (place / "cosine.py").write_text(snippets(README, "python")[0])
    register = place / "cosine-1.0.dist-info"
    register.mkdir()
    (register / "METADATA").write_text("Metadata-Version: 2.1\nName: cosine\nVersion: 1.0\n")
    (register / "entry_points.txt").write_text("[distillbench.methods]\ncosine = cosine:Cosine\n")

    def type_in(command: str) -> None:
        result = cli(*shortened(command), cwd=place, env=os.environ | {"PYTHONPATH": str(place)})
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
        assert result.stdout.strip(), command

    return type_in


@pytest.mark.parametrize("path", NEWCOMERS, ids=lambda path: path.name)
def test_every_command_that_a_newcomer_types_works(reader: Callable[[str], None], place: Path, path: Path) -> None:
    for suite in snippets(path, "toml"):
        (place / "mine.toml").write_text(suite)
    assert len(commands(path)) >= 5
    for command in commands(path):
        reader(command)
    script = snippets(path, "python")[-1]
    few = [*SHORT[1::2], *FEW["gan"], *FEW["vae"]]
    short = f'overrides={few}, seeds=[0], tasks=["gan", "vae"], '
    script = script.replace('tasks=["gan", "vae"], ', "").replace('run("quick", ', f'run("quick", {short}')
    result = finish([sys.executable, "-c", script], cwd=place)
    assert result.returncode == 0, result.stderr
    assert "temperature" in result.stdout


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_suite_that_a_document_shows_can_be_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISTILLBENCH_DATA", raising=False)
    for number, text in enumerate(snippets(path, "toml")):
        table = tomllib.loads(text)
        if "tasks" not in table or "entry-points" in text:
            continue
        file = tmp_path / f"snippet-{number}.toml"
        file.write_text(text)
        if "test_name" in text:  # of a set, which is not there
            with pytest.raises(UserError, match="DISTILLBENCH_DATA"):
                load(file)
        elif "more/images" in text:
            with pytest.raises(UserError, match="more/images is not a folder"):
                load(file)
        else:
            assert load(file).entries


def test_the_script_of_the_suites_document_works(tmp_path: Path) -> None:
    (script,) = snippets(ROOT / "docs" / "suites.md", "python")
    result = finish([sys.executable, "-c", script], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^14/14$", result.stdout, re.MULTILINE), result.stdout


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path not in NEWCOMERS], ids=lambda path: path.name)
def test_every_command_of_a_document_is_understood(cli: Run, path: Path, tmp_path: Path) -> None:
    """Not run, but planned: its options, keys and values are taken. Folders of the reader's own are in capitals."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    for command in commands(path):
        name, *arguments = shlex.split(OF_RUNS.sub("", command))[1:]
        if name != "run" or READERS.search(command):
            continue
        result = cli("plan", *arguments, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(PLUGIN)})
        assert result.returncode == 0, f"{command}\n{result.stderr}"
