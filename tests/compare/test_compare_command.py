"""``distillbench compare`` as a command: exit codes, formats, errors, and its page of documentation."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from typer.testing import CliRunner

from distillbench.bench.cli import app
from distillbench.bench.compare.findings import OUTCOMES, Finding, Outcome, Report
from distillbench.bench.compare.formats import github, junit, summary_line, terminal
from distillbench.bench.store.records import Record
from support.paths import ROOT
from support.processes import Run
from support.results import BEFORE, folder, good


@pytest.mark.parametrize(
    ("after", "code", "summary"),
    [
        (good(BEFORE), 0, "pass: 18 pass"),
        (good([75.0, 77.3, 76.1]), 1, "regressed: 1 regressed, 17 pass; classification/cnn_mlp/good accuracy"),
        (good([]), 3, "missing: 1 missing, 14 pass; classification/cnn_mlp/good"),
        (good([80.0, 90.0, 85.0]), 4, "inconclusive: 1 inconclusive, 17 pass; classification/cnn_mlp/good accuracy"),
    ],
)
def test_the_last_line_and_the_exit_code_are_those_of_the_worst(
    cli: Run, tmp_path: Path, after: list[Record], code: int, summary: str
) -> None:
    done = cli("compare", folder(tmp_path / "before", good(BEFORE)), folder(tmp_path / "after", after))
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.splitlines()[-1] == summary


def test_inconclusive_reports_may_be_allowed(cli: Run, tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", good(BEFORE)), folder(tmp_path / "b", good([80.0, 90.0, 85.0]))
    assert cli("compare", first, second, "--allow-inconclusive").returncode == 0


@pytest.mark.parametrize(("options", "margin"), [([], 0.01), (["--speed-margin", "3%"], 0.03)])
def test_two_revisions_have_a_narrower_margin_than_stored_times(
    options: list[str], margin: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options_of_call: dict[str, Any] = {}

    def compared(*names: str, **settings: Any) -> Report:
        options_of_call.update(settings)
        return every(["pass"])

    monkeypatch.setattr("distillbench.bench.compare.revisions.compare_revisions", compared)
    done = CliRunner().invoke(app, ["compare", "--revisions", "a", "b", *options, "--minutes", "4", "--", "quick"])
    assert (done.exit_code, options_of_call["speed_margin"], options_of_call["budget"].seconds) == (0, margin, 240)
    first = folder(tmp_path / "a", good(BEFORE), slow=2e-2, quick=2e-3)
    second = folder(tmp_path / "b", good(BEFORE), slow=2e-2, quick=2.04e-3)
    codes = [CliRunner().invoke(app, ["compare", str(first), str(second), *more]).exit_code for more in ([], options)]
    assert codes == [0, 4 if options else 0]


def test_a_report_without_findings_does_not_pass(cli: Run, tmp_path: Path) -> None:
    done = cli("compare", tmp_path, tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "missing: nothing to compare")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["a", "a", "--quality-margin", "much"], "--quality-margin: invalid margin 'much'"),
        (["a", "a", "--quality-margin", "accuracy=-1"], "invalid margin"),
        (["a", "a", "--speed-margin", "nan%"], "--speed-margin: invalid margin 'nan%'"),
        (["a", "a", "--metrics", "acuracy"], "did you mean 'accuracy'?"),
        (["a", "a", "--least-seconds", "nan"], "--least-seconds: invalid time nan"),
        (["a", "a", "--output", "b"], "--output: needs --format"),
        (["a", "a", "--minutes", "3"], "--minutes: needs --revisions"),
        (["a", "no"], "no: no such results folder"),
        (["a", ""], "compare: expected BASELINE CANDIDATE, or --revisions and a SUITE (got 1)"),
        (["a", "one.json"], "one.json: not the same kind as a"),
        (["one.json", "one.json"], "one.json: not a pytest-benchmark file"),
        (["--revisions", "a", "b"], "--revisions: expected one SUITE after -- (got 0)"),
        (["--revisions", "a", "b", "--", "a", "a"], "--revisions: expected one SUITE after -- (got 2)"),
        (["--revisions", "a", "b", "--metrics", "psnr", "--", "quick"], "--metrics: cannot be used with --revisions"),
        (["--revisions", "a", "b", "--minutes", "0", "--", "quick"], "--minutes: invalid time 0.0"),
        (["--revisions", "a", "b", "--backends", "egaer", "--", "quick"], "did you mean 'eager'?"),
    ],
)
def test_invalid_options_are_errors_in_one_line(cli: Run, tmp_path: Path, options: list[str], message: str) -> None:
    folder(tmp_path / "a", good(BEFORE))
    (tmp_path / "one.json").write_text("[]")
    done = cli("compare", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_formats_of_the_command(cli: Run, tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", good([85.0])), folder(tmp_path / "b", good([85.1]))
    report = json.loads(cli("compare", first, second, "--format", "json").stdout, parse_constant=pytest.fail)
    assert (report["outcome"], report["exit_code"]) == ("inconclusive", 4)
    file = tmp_path / "gate.xml"
    assert cli("compare", first, second, "--format", "junit", "--output", file).returncode == 4
    suite = ElementTree.parse(file).getroot()
    assert int(suite.get("tests", "0")) == len(report["findings"]) == len(suite)
    assert len(suite.findall("testcase/skipped")) == 1
    assert "## distillbench compare: inconclusive" in cli("compare", first, second, "--format", "github").stdout


def every(outcomes: Sequence[Outcome] = OUTCOMES) -> Report:
    """A finding for each outcome, with texts that formats must escape."""
    reasons = "30.25 -> 29.80 dB, -0.45 [-0.60, -0.30], beyond the margin of 0.30 | `a` <b> & 'c'\n\x00 \\ end"
    findings = [Finding(f"denoising/dncnn_{i}/mimic", "psnr", outcome, reasons) for i, outcome in enumerate(outcomes)]
    return Report("main", "branch", tuple(findings), ("a | note",))


def test_markdown_is_well_formed() -> None:
    text = github(every())
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {5}
    assert len(tables) == len(OUTCOMES) + 4  # two headings
    assert text.index("regressed | denoising") < text.index("inconclusive | denoising") < text.index("<details>")
    assert text.index("<details>") < text.index("| pass |") < text.index("</details>")
    assert "<b>" not in text


def test_junit_parses_and_counts() -> None:
    suite = ElementTree.fromstring(junit(every()))
    counts = {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 6, "failures": 1, "errors": 2, "skipped": 1}
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert len(suite.findall(f"testcase/{tag}")) == counts[name]


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_a_terminal_shows_every_word_in_its_width(width: int) -> None:
    console = Console(width=width, force_terminal=True)
    with console.capture() as capture:
        console.print(terminal(every(), width))
    text = re.sub(r"\x1b\[[0-9;]*m", "", capture.get())
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    titles = [line.strip() for line in text.splitlines() if line.strip().endswith(": 1")]
    assert titles == [f"{outcome}: 1" for outcome in OUTCOMES[:-1]]
    for word in ("denoising/dncnn_0/mimic", "29.80", "margin", "end"):
        assert word in text
    assert "dncnn_5" not in text  # it passes
    assert " ".join(text.split()).endswith(summary_line(every()))


def test_a_terminal_lists_what_passes_where_it_is_asked_for() -> None:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(terminal(every(), 120, verbose=True))
    assert "dncnn_5" in capture.get()
    assert "\x1b" not in capture.get()


@pytest.mark.parametrize(
    ("outcomes", "outcome", "code"),
    [
        ([], "missing", 3),
        (["pass"], "pass", 0),
        (["improved", "pass"], "pass", 0),
        (["improved"], "improved", 0),
        (["improved", "regressed"], "regressed", 1),
        (["inconclusive", "missing"], "missing", 3),
        (["inconclusive", "incomparable"], "incomparable", 3),
        (["inconclusive", "pass"], "inconclusive", 4),
    ],
)
def test_a_report_is_as_bad_as_its_worst_finding(outcomes: list[Outcome], outcome: str, code: int) -> None:
    report = every(outcomes)
    assert (report.outcome, report.exit_code()) == (outcome, code)
    assert report.exit_code(allow_inconclusive=True) == (0 if code == 4 else code)


def launches(root: Path, seconds: Sequence[float], python: str = "3.11.9") -> Path:
    root.mkdir()
    for i, median in enumerate(seconds):
        entry = {"fullname": "t.py::test_step", "stats": {"median": median}}
        machine = {"python_version": python, "cpu": {"brand_raw": "a", "hz_actual": i}}
        (root / f"{i}.json").write_text(json.dumps({"machine_info": machine, "benchmarks": [entry]}))
    return root


@pytest.mark.parametrize(
    ("seconds", "python", "code", "message"),
    [
        ([1.0, 1.001, 1.002], "3.11.9", 0, "pass: 1 pass"),
        ([1.2, 1.201, 1.202], "3.11.9", 1, "regressed"),
        ([0.8, 0.801, 0.802], "3.11.9", 0, "improved"),
        ([1.0], "3.11.9", 4, "only 1 launch on one side (at least 3 needed)"),
        ([1.0, 1.001, 1.002], "3.12.0", 3, "machine_info.python_version"),
        ([1.0, float("nan")], "3.11.9", 2, "stats.median: invalid time nan"),
    ],
)
def test_benchmarks(cli: Run, tmp_path: Path, seconds: list[float], python: str, code: int, message: str) -> None:
    first, second = launches(tmp_path / "a", [1.0, 1.001, 1.002]), launches(tmp_path / "b", seconds, python)
    done = cli("compare", first, second)
    assert done.returncode == code
    assert message in done.stdout + done.stderr


def test_benchmarks_of_one_launch_are_equal_to_themselves_alone(cli: Run, tmp_path: Path) -> None:
    first, copy = launches(tmp_path / "a", [1.0]), launches(tmp_path / "b", [1.0])
    assert cli("compare", first, first).returncode == cli("compare", first, copy).returncode == 0
    assert "identical" in cli("compare", first, first, "--verbose").stdout
    (file,) = copy.iterdir()
    file.write_text(file.read_text().replace('"median": 1.0', '"median": 1.0, "mean": 1.1'))
    assert cli("compare", first, copy).returncode == 4  # another launch, of the same median


@pytest.mark.parametrize("deeper", ["Linux-CPython-3.11-64bit/0001_base.json", "quick/records/vae.json"])
def test_a_folder_a_level_too_high_names_the_right_one(cli: Run, tmp_path: Path, deeper: str) -> None:
    """As ``.benchmarks``, in which pytest-benchmark makes a folder for each kind of machine."""
    for side in ("a", "b"):
        (tmp_path / side / deeper).parent.mkdir(parents=True)
        (tmp_path / side / deeper).write_text("{}")
    done = cli("compare", tmp_path / "a", tmp_path / "b")
    assert (done.returncode, done.stdout) == (2, "")
    right = tmp_path / "a" / deeper.split("/")[0]
    lack = "contains neither *.json of pytest-benchmark nor records, timings, exports of a run"
    assert done.stderr == f"distillbench: {tmp_path / 'a'}: {lack}; they are one level deeper (allowed: {right})\n"


def blocks() -> list[str]:
    """Blocks of YAML on the page about continuous integration."""
    return re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/ci.md").read_text(), re.DOTALL | re.MULTILINE)


def commands() -> Iterator[list[str]]:
    """Arguments of every command that a line of the page begins with."""
    for line in (ROOT / "docs/ci.md").read_text().splitlines():
        if match := re.match(r"\s+(?:- )?(?:run: )?(distillbench .*)", line):
            words = shlex.split(re.sub(r"\$\{\{.*?\}\}", "REVISION", match[1]), comments=True)
            yield words[1 : words.index("2>&1")] if "2>&1" in words else words[1:]


def test_the_recipes_are_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    assert len(blocks()) >= 2
    for block in blocks():
        steps = yaml.safe_load(block)["jobs"]["gate"]["steps"]
        assert all("run" in step or "uses" in step for step in steps)


def test_the_commands_of_the_page_parse() -> None:
    from typer.main import get_command

    lines = list(commands())
    assert len(lines) >= 5
    for name, *arguments in lines:
        get_command(app).commands[name].make_context(name, arguments)  # type: ignore[attr-defined]
