"""The workflows that validate a pull request: their permissions, and their scripts with hostile input."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from distillbench.bench.store.records import MetricValue, Record
from support.paths import ROOT
from support.processes import finish
from support.records import records
from support.results import folder

WORKFLOWS = ROOT / ".github" / "workflows"


def workflow(name: str) -> dict[Any, Any]:
    read: dict[Any, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return read | {"on": read.get("on", read.get(True))}  # YAML 1.1 takes "on" for a truth value


def steps(name: str, job: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = workflow(name)["jobs"][job]["steps"]
    return entries


def test_validation_may_write_nothing_and_runs_the_base_branch() -> None:
    content = workflow("submission")
    assert content["permissions"] == {"contents": "read"}
    assert list(content["on"]) == ["pull_request"]
    assert "secrets." not in (WORKFLOWS / "submission.yml").read_text()
    base, proposed = (s["with"] for s in steps("submission", "validate") if "checkout" in s.get("uses", ""))
    assert base["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert proposed["sparse-checkout"] == "submissions"
    assert not base["persist-credentials"]
    assert not proposed["persist-credentials"]
    (install,) = (s["run"] for s in steps("submission", "validate") if "pip install" in s.get("run", ""))
    assert install.endswith("./base")


def test_the_comment_takes_only_text_from_the_pull_request() -> None:
    content = workflow("submission-comment")
    assert content["permissions"] == {}
    assert content["jobs"]["comment"]["permissions"] == {"actions": "read", "pull-requests": "write"}
    assert not any("checkout" in s.get("uses", "") or "run" in s for s in steps("submission-comment", "comment"))


def folder_of(root: Path, name: str, text: str = "{}") -> None:
    (root / "submissions" / name / "records").mkdir(parents=True)
    (root / "submissions" / name / "records" / "a.json").write_text(text)


def test_each_changed_folder_is_validated_and_no_name_is_a_command(tmp_path: Path) -> None:
    (script,) = (s["run"] for s in steps("submission", "validate") if s.get("id") == "validate")
    for side in ("base", "proposed"):
        folder_of(tmp_path / side, "lab-a")
    folder_of(tmp_path / "base", "lab-b")
    folder_of(tmp_path / "proposed", "lab-b", "[]")
    for name in ("lab-c", "$(touch owned)", "-rf", "a b; touch owned"):
        folder_of(tmp_path / "proposed", name)
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin" / "distillbench"
    stub.write_text('#!/bin/sh\necho "called: $*"\n')
    stub.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = finish(["bash", "-e", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path})
    report = (tmp_path / "report" / "report.txt").read_text()
    called = [line.split()[2] for line in report.splitlines() if line.startswith("called: validate")]
    assert called == ["proposed/submissions/lab-b", "proposed/submissions/lab-c"]
    assert report.count("may be called by letters") == 3
    assert done.returncode == 1
    assert not list(tmp_path.rglob("owned"))


def test_the_board_is_rebuilt_and_what_changes_is_reported(tmp_path: Path) -> None:
    (script,) = (s["run"] for s in steps("submission", "validate") if s.get("name", "").startswith("Rebuild"))
    folder(tmp_path / "base" / "results" / "quick", records())
    new = [r.model_copy(update={"revision": "another"}) for r in records() if r.label in ("scratch", "good", "teacher")]
    other = [r.model_copy(update={"metrics": shifted(r)}) for r in new]
    folder(tmp_path / "proposed" / "submissions" / "lab-a", other)
    (tmp_path / "report").mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = finish(["bash", "-e", "-c", script], cwd=tmp_path, env=os.environ | {"PATH": path})
    assert done.returncode == 0, done.stderr
    first, *changes = (tmp_path / "report" / "report.txt").read_text().splitlines()
    assert first == "What changes on the board:"
    assert any("lab-a" in line for line in changes)


def shifted(record: Record) -> dict[str, MetricValue]:
    """Other values: a record without examples may have any."""
    return {name: m.model_copy(update={"value": m.value + 0.25}) for name, m in record.metrics.items()}


MOCKS = """
const calls = [];
const context = { repo: {}, payload: { workflow_run: { head_sha: "abc", html_url: "U", conclusion: "failure" } } };
const core = { setFailed: (text) => calls.push(["failed", text]) };
const github = {
  paginate: async () => [{ user: { type: "User" }, id: 1, body: "<!-- distillbench submission -->" }],
  rest: {
    pulls: { get: async () => ({ data: { head: { sha: SHA } } }) },
    issues: {
      listComments: 0,
      createComment: async (what) => calls.push(["created", what.issue_number, what.body]),
      updateComment: async (what) => calls.push(["updated", what.comment_id, what.body]),
    },
  },
};
(async () => { await (async () => { SCRIPT })(); console.log(JSON.stringify(calls)); })();
"""


def commented(tmp_path: Path, number: str, report: str, sha: str = "abc") -> list[list[Any]]:
    """The calls that the comment's script makes."""
    (script,) = (s["with"]["script"] for s in steps("submission-comment", "comment") if "script" in s["with"])
    (tmp_path / "number.txt").write_text(number)
    (tmp_path / "report.txt").write_text(report)
    program = MOCKS.replace("SHA", json.dumps(sha)).replace("SCRIPT", script)
    done = finish(["node", "-e", program], env=os.environ | {"REPORT": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    calls: list[list[Any]] = json.loads(done.stdout)
    return calls


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")


@needs_node
def test_a_report_is_a_block_of_code_whatever_it_holds(tmp_path: Path) -> None:
    hostile = "passed\n````\n@everyone <img src=x> [a](http://b)\n\u202eabc\x1b[2J\u0000 ── 1 × 2"
    ((what, number, body),) = commented(tmp_path, "7\n", hostile)
    assert (what, number) == ("created", 7)
    fences = [i for i, line in enumerate(body.splitlines()) if line.startswith("`````")]
    assert len(fences) == 2
    inside = body.splitlines()[fences[0] + 1 : fences[1]]
    assert inside[1] == "````"
    assert "@everyone <img src=x> [a](http://b)" in inside
    assert "?abc?[2J? ── 1 × 2" in inside
    assert "@everyone" not in "\n".join(body.splitlines()[: fences[0]] + body.splitlines()[fences[1] :])
    assert "does not hold" in body


@needs_node
def test_a_long_report_is_cut(tmp_path: Path) -> None:
    ((_, _, body),) = commented(tmp_path, "7", "x" * 200_000)
    assert len(body) < 60_000


@needs_node
@pytest.mark.parametrize("number", ["", "0", "-1", "7; rm", "1e99", "../7"])
def test_without_a_valid_number_there_is_no_comment(tmp_path: Path, number: str) -> None:
    assert commented(tmp_path, number, "text") == [["failed", "no number of a pull request"]]


@needs_node
def test_another_pull_requests_number_is_refused(tmp_path: Path) -> None:
    assert commented(tmp_path, "8", "text", sha="def") == [["failed", "the report is of another commit"]]
