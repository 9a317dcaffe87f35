"""What a process is settled to before it computes, and what is said where it cannot be held to equal bits."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from distillbench.bench.run.jobs import Job, execute
from distillbench.bench.store.weights import save_weights
from distillbench.bench.suite.cells import Cell
from distillbench.bench.training.determinism import settled, undetermined
from distillbench.bench.training.loop import initial
from distillbench.bench.workers.executor import JobEnd
from distillbench.bench.workers.local import LocalExecutor
from distillbench.methods.base import Method
from distillbench.methods.scratch import Scratch
from distillbench.tasks.response import Responses
from support import executor_jobs
from support.own_pairs import pair


def test_the_gpu_of_a_job_is_the_current_one_and_computes_in_float32() -> None:
    """In a process of its own: what is set there stays. No GPU is needed to see what is asked for."""
    script = """
import torch
chosen = []
torch.cuda.set_device = chosen.append
from distillbench.bench.training.determinism import settle_process
settle_process("cpu")
assert torch.backends.cudnn.conv.fp32_precision == "tf32", "torch's own default"
settle_process("cuda:1")
assert [device.index for device in chosen] == [1]
backends = torch.backends
assert {b.fp32_precision for b in (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)} == {"ieee"}
settle_process("cuda")
assert len(chosen) == 1
assert not torch.utils.deterministic.fill_uninitialized_memory
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_users_process_gets_its_settings_back() -> None:
    def state() -> tuple[object, ...]:
        filled = torch.utils.deterministic.fill_uninitialized_memory
        return torch.are_deterministic_algorithms_enabled(), torch.get_num_threads(), filled

    before = state()
    with settled():
        assert state() == (True, 1, False)
    assert state() == before


def test_workers_have_what_cublas_needs_to_be_deterministic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    events = LocalExecutor(1).run([executor_jobs.Job("job", "", tmp_path)], executor_jobs.environment_of)
    (environment,) = [event.result for event in events if isinstance(event, JobEnd)]
    assert environment is not None
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_operations_without_a_deterministic_form_are_named_and_other_warnings_pass() -> None:
    with warnings.catch_warnings(record=True) as passed, settled(), undetermined() as operations:
        for _ in range(2):
            torch.ones(3).put_(torch.tensor([0]), torch.ones(1))
        warnings.warn("something else", stacklevel=1)
    assert operations == {"put_"}
    assert [str(warning.message) for warning in passed] == ["something else"]


class Puts(Method):
    """Computes with an operation of which torch has no deterministic form."""

    def distillation_loss(self, student: Responses, teacher: Responses) -> Tensor:
        torch.ones(3).put_(torch.tensor([0]), torch.ones(1))
        return teacher["logits"].mse(student["logits"])


@pytest.mark.parametrize(("method", "named"), [(Puts(), True), (Scratch(), False)])
def test_a_record_says_that_its_bits_are_not_the_same_each_time(tmp_path: Path, method: Method, named: bool) -> None:
    its = pair("classification", steps=2)
    cell = Cell("student", its, "mimic", 0, 0, method)
    job = Job("group", "group", its, (cell,), "shared", tmp_path / "out", tmp_path / "cache")
    task = its.build()
    path = tmp_path / "cache" / "teachers" / f"{its.teacher_hash(0)}.safetensors"
    save_weights(path, initial(task, "teacher", 0), path.stem)
    with settled():
        (record,) = execute(job, lambda step, steps: None)
    assert record.failure is None
    assert any("put_ has no deterministic form" in warning for warning in record.warnings) == named
