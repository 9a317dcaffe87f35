"""Timing in interleaved pairs, on a simulated machine whose clock only work moves; its lock, in real processes."""

from __future__ import annotations

import gc
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from typer.testing import CliRunner

from distillbench.bench import cli as command_line
from distillbench.bench.machine import lock
from distillbench.bench.machine.load import Load, look
from distillbench.bench.measure.backends import prepare
from distillbench.bench.measure.failures import NotAvailable
from distillbench.bench.measure.interleaving import (
    LEAST_SAMPLE,
    InterleavedTimes,
    Samples,
    Workload,
    half_width,
    interleave,
)
from distillbench.bench.run.jobs import untrained
from distillbench.bench.statistics import paired_ratio
from distillbench.bench.suite.resolve import load
from distillbench.bench.timing.selftest import Design, Rate, rule_of_the_gate, selftest
from distillbench.common.errors import UserError


class Machine:
    """noise: of each call, relative. drift: the amplitude of a slow wave. bursts: chance a call that other work begins,
    which takes half the processor for some 10 ms. cold: seconds that the first call after another's takes longer."""

    def __init__(
        self, seed: int, noise: float = 0.0, drift: float = 0.0, bursts: float = 0.0, cold: float = 0.0
    ) -> None:
        self.now, self.random = 0.0, Random(seed)
        self.noise, self.drift, self.bursts, self.cold = noise, drift, bursts, cold
        self.phase, self.burst_ends, self.last = self.random.uniform(0, 2 * math.pi), 0.0, ""
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now

    def subject(self, seconds: float, name: str = "") -> Workload:
        def call() -> None:
            if self.bursts and self.random.random() < self.bursts:
                self.burst_ends = self.now + self.random.expovariate(1 / 0.01)
            factor = math.exp(self.noise * self.random.gauss(0, 1)) if self.noise else 1.0
            factor *= 1 + self.drift * math.sin(2 * math.pi * self.now / 8 + self.phase)
            factor *= 2 if self.now < self.burst_ends else 1
            self.now += seconds * factor + (self.cold if self.last != name else 0.0)
            self.last = name
            self.calls.append(name)

        return Workload(call)

    def time(self, *seconds: float, **options: Any) -> InterleavedTimes:
        subjects = {name: self.subject(each, name) for name, each in zip("abcd", seconds, strict=False)}
        return interleave(subjects, clock=self.clock, **options)


# -- interleave -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_subject_is_as_often_in_every_place(count: int) -> None:
    machine = Machine(0)
    machine.time(*[0.003] * count, least_pairs=12 * count, most_pairs=12 * count)
    taken = "".join(machine.calls[-2 * 12 * count * count :: 2])  # a warm-up and a sample each, one call long
    rounds = [taken[i : i + count] for i in range(0, len(taken), count)]
    assert all(set(one) == set("abcd"[:count]) for one in rounds)
    for place in range(count):
        assert set(Counter(one[place] for one in rounds).values()) == {12}
    assert len(set(rounds)) > 1


def test_the_order_is_random_and_its_seed_decides_it() -> None:
    def order(seed: int) -> list[str]:
        machine = Machine(0)
        machine.time(0.003, 0.003, seed=seed)
        return machine.calls

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_what_a_turn_warms_up_is_not_counted() -> None:
    found = Machine(0, cold=0.5).time(0.002, 0.004)
    assert found.samples["a"].seconds == pytest.approx([0.002] * 30)
    assert found.ratios["b"].value == pytest.approx(2)


def test_a_sample_takes_a_millisecond_at_least() -> None:
    found = Machine(0, noise=0.05).time(20e-6, 3e-3)
    quick, slow = found.samples["a"], found.samples["b"]
    assert 50 <= quick.loops <= 70
    assert min(quick.seconds) * quick.loops > 0.9 * LEAST_SAMPLE
    assert slow.loops == 1


def test_a_subject_that_takes_no_time_at_all_is_still_timed() -> None:
    machine = Machine(0)

    def clock() -> float:  # each look at it takes a microsecond
        machine.now += 1e-6
        return machine.now

    def patient() -> None:
        machine.now += 1e-8

    found = interleave({"a": Workload(patient), "b": Workload(patient)}, clock=clock, most_pairs=30)
    assert found.samples["a"].loops >= 50_000


def test_nothing_disturbs_a_sample_and_all_is_as_before_afterwards() -> None:
    seen = set()
    machine = Machine(0)

    def call() -> None:
        seen.add((gc.isenabled(), torch.get_num_threads()))
        machine.now += 0.001
        if len(seen) > 1:
            raise AssertionError

    torch.set_num_threads(2)
    interleave({"a": Workload(call), "b": Workload(call)}, clock=machine.clock)
    assert seen == {(False, 1)}
    assert (gc.isenabled(), torch.get_num_threads()) == (True, 2)

    def fail() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        interleave({"a": Workload(fail), "b": Workload(fail)}, clock=machine.clock)
    assert (gc.isenabled(), torch.get_num_threads()) == (True, 2)


def test_a_quiet_machine_needs_thirty_pairs_and_a_noisy_one_as_many_as_make_the_interval_narrow() -> None:
    quiet, noisy = Machine(0, noise=0.002).time(0.002, 0.002), Machine(0, noise=0.03).time(0.002, 0.002)
    assert (quiet.pairs, quiet.stopped_by) == (30, "width")
    assert noisy.stopped_by == "width"
    assert 60 < noisy.pairs < 1000
    assert half_width(noisy.ratios["b"]) <= 0.01
    earlier = [each.seconds[: noisy.pairs // 2] for each in noisy.samples.values()]
    assert half_width(paired_ratio(earlier[1], earlier[0], 0.99)) > 0.01


@pytest.mark.parametrize("seed", range(5))
def test_how_long_it_measures_does_not_depend_on_what_it_finds(seed: int) -> None:
    equal, different = (Machine(seed, noise=0.03).time(0.002, 0.002 * ratio) for ratio in (1.0, 1.3))
    assert equal.pairs == different.pairs > 30
    assert different.ratios["b"].low > 1.2


def test_the_caps_hold_but_thirty_pairs_are_the_least() -> None:
    by_pairs = Machine(0, noise=0.5).time(0.002, 0.002, most_pairs=77)
    assert (by_pairs.pairs, by_pairs.stopped_by) == (77, "cap")
    assert all(len(each.seconds) == 77 for each in by_pairs.samples.values())
    machine = Machine(0, noise=0.5)
    by_seconds = machine.time(0.002, 0.002, most_seconds=1.0)
    assert by_seconds.stopped_by == "cap"
    assert 1.0 <= machine.now < 1.1
    least = Machine(0, noise=0.5).time(0.1, 0.1, most_seconds=1.0)
    assert (least.pairs, least.stopped_by) == (30, "cap")


def test_all_ratios_must_be_narrow() -> None:
    machine = Machine(0)
    noisy = Machine(0, noise=0.05)

    def call() -> None:
        before = noisy.now
        noisy.subject(0.002).call()
        machine.now += noisy.now - before

    subjects = {"a": machine.subject(0.002, "a"), "b": machine.subject(0.002, "b"), "c": Workload(call)}
    found = interleave(subjects, clock=machine.clock)
    assert set(found.ratios) == {"b", "c"}
    assert found.pairs > 30
    assert half_width(found.ratios["c"]) <= 0.01


@pytest.mark.parametrize(("least", "most"), [(30, 29), (0, 10), (1, 10)])
def test_limits_that_leave_nothing_are_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="pairs at least"):
        Machine(0).time(0.002, 0.002, least_pairs=least, most_pairs=most)
    with pytest.raises(ValueError, match="fewer than two"):
        Machine(0).time(0.002)


def test_percentiles_are_said_from_enough_samples_on() -> None:
    def of(count: int) -> tuple[float | None, float | None]:
        samples = Samples(tuple(float(i) for i in range(1, count + 1)), 1)
        return samples.p90, samples.p99

    assert of(63) == (None, None)
    assert of(64) == (pytest.approx(57.7), None)
    assert of(661)[1] is None
    assert of(662)[1] == pytest.approx(655.39)


def test_interleaved_pairs_recover_a_ratio_under_drift_and_bursts_and_two_series_do_not() -> None:
    truth, worlds, paired, sequential = 1.05, 30, 0, 0
    for seed in range(worlds):
        world = {"noise": 0.02, "drift": 0.2, "bursts": 0.01}
        ratio = Machine(seed, **world).time(0.002, 0.002 * truth, seed=seed).ratios["b"]
        paired += ratio.low <= truth <= ratio.high
        machine = Machine(seed, **world)
        series = []
        for seconds in (0.002, 0.002 * truth):
            subject, times = machine.subject(seconds), []
            for _ in range(300):
                before = machine.now
                subject.call()
                times.append(machine.now - before)
            series.append(times)
        alone = paired_ratio(series[1], series[0], 0.99)
        sequential += alone.low <= truth <= alone.high
    assert paired >= worlds - 2
    assert sequential <= worlds // 3


def test_the_line_says_how_many_times_as_fast_with_its_interval() -> None:
    line = Machine(0, noise=0.002).time(0.004, 0.001).line()
    assert re.fullmatch(r"a 4 ms, b 1 ms: 4 times as fast \[[34][\d.]*, 4[\d.]*\], 30 pairs", line)
    assert Machine(0, noise=0.5).time(0.002, 0.002, most_pairs=30).line().endswith("30 pairs, stopped by the cap")
    assert ": b 2 times as fast" in Machine(0).time(0.004, 0.002, 0.001).line()


def test_on_cuda_time_is_that_of_events_and_the_device_is_idle_before(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    device = Machine(0)

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            log.append("record")
            self.at = device.now

        def elapsed_time(self, end: Event) -> float:
            assert log[-1] == "synchronize", "an event is read before it has happened"
            return 1000 * (end.at - self.at)

    @contextmanager
    def on(name: str) -> Iterator[None]:
        assert name == "cuda:1"
        yield

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: log.append("synchronize"))
    monkeypatch.setattr(torch.cuda, "device", on)
    subjects = {name: Workload(device.subject(s, name).call, "cuda:1") for name, s in (("a", 0.002), ("b", 0.003))}
    found = interleave(subjects, clock=lambda: 0.0)
    assert found.samples["a"].median == pytest.approx(0.002)
    assert found.ratios["b"].value == pytest.approx(1.5)
    assert log[:4] == ["synchronize", "record", "record", "synchronize"]


# -- the lock, and the machine's load -------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from distillbench.bench.machine.lock import alone_on_the_machine
with alone_on_the_machine(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that holds the lock until it is told to end."""
    started: list[subprocess.Popen[str]] = []

    def hold() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, str(tmp_path / lock.NAME), "the night's timing"]
        process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", ["kill", "end"])
def test_the_lock_names_its_holder_and_is_free_however_that_ends(
    how: str, holder: Callable[[], subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = tmp_path / lock.NAME
    process = holder()
    for _ in range(2):  # a refusal takes nothing away from the holder
        with pytest.raises(UserError) as refused, lock.alone_on_the_machine(path):
            pass
        assert f"process {process.pid}: " in str(refused.value)
        assert "the night's timing" in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
    if how == "kill":
        process.send_signal(signal.SIGKILL)
        process.wait()
    else:
        process.communicate("\n")
        assert process.returncode == 0
    with lock.alone_on_the_machine(path):
        assert f"process {os.getpid()}: " in path.read_text()
    assert path.read_text() == ""
    other = holder()  # free again
    other.communicate("\n")
    assert other.returncode == 0


def test_a_lock_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe", "not/there"):
        with pytest.raises(UserError, match=f"{name}: the machine's lock"), lock.alone_on_the_machine(tmp_path / name):
            pass
    assert (tmp_path / "elsewhere").read_text() == "keep"


def test_the_lock_is_there_for_every_user(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with lock.alone_on_the_machine(tmp_path / lock.NAME):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / lock.NAME).stat().st_mode & 0o777 == 0o666


def simulated_root(folder: Path, busy: int, throttled: int = 0, governor: str = "performance") -> Path:
    """proc and sys, as of a machine whose cores have worked for ``busy`` ticks."""
    files = {
        "proc/stat": f"cpu  {busy} 0 0 100000 7 0 0 0 0 0\ncpu0 1 1 1 1",
        "proc/loadavg": "1.25 0.80 0.50 3/99 9888",
        "sys/fs/cgroup/cpu.stat": f"nr_periods 5\nnr_throttled {throttled}\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": f"{governor}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_what_others_do_meanwhile_is_said(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")

    def seen(ticks_of_others: int, **more: Any) -> Load:
        simulated_root(tmp_path, 5000)
        return look(tmp_path, 2.0, lambda _: simulated_root(tmp_path, 5000 + ticks_of_others, **more) and None)

    idle, busy = seen(0), seen(2 * ticks)
    assert (idle.busy, busy.busy, busy.average) == (0.0, 1.0, 1.25)
    assert idle.notes() == []  # though the average still remembers what has ended
    assert busy.notes() == [f"loaded: others keep 1.0 of {os.cpu_count()} cores busy, load average 1.2"]
    assert idle.notes(after=seen(0, throttled=3))[0].startswith("throttled: ")
    assert seen(0, governor="powersave").notes() == ["frequency governor: powersave"]
    nothing = look(tmp_path / "nowhere", 0.1, lambda _: None)
    assert nothing.busy is None


# -- backends -------------------------------------------------------------------------------------------------------


def test_a_student_is_timed_on_two_backends_in_pairs_and_said_in_a_line(tmp_path: Path) -> None:
    (pair,) = load("quick", tasks=["classification"]).pairs
    model, example = untrained(pair, "student", tmp_path)
    prepared = {backend: prepare(backend, model, example) for backend in ("eager", "onnxruntime")}
    subjects = {name: subject for name, subject in prepared.items() if isinstance(subject, Workload)}
    assert subjects == prepared
    outputs: dict[str, Any] = {name: subject.call() for name, subject in subjects.items()}
    np.testing.assert_allclose(np.asarray(outputs["onnxruntime"])[0], outputs["eager"].numpy(), rtol=1e-4, atol=1e-5)
    found = interleave(subjects, most_pairs=30)
    assert re.fullmatch(r"eager .* ms, onnxruntime .* ms: .* times as fast \[.*\], 30 pairs.*", found.line())


def test_a_backend_that_cannot_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Undecided(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    example = torch.zeros(1, 4)
    refused = prepare("onnxruntime", Undecided(), example)
    assert isinstance(refused, NotAvailable)
    assert refused.reason.startswith("cannot be exported (")
    assert len(refused.reason.splitlines()) == 1
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert prepare("compile", nn.Linear(4, 4), example) == NotAvailable("no C++ compiler")
    monkeypatch.delitem(sys.modules, "distillbench.bench.measure.onnx_export")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert prepare("onnxruntime", nn.Linear(4, 4), example) == NotAvailable("onnxruntime is not installed")
    with pytest.raises(UserError, match="did you mean 'eager'"):
        prepare("eagr", nn.Linear(4, 4), example)


# -- the rule, and its test -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "of"), [(0, 300), (3, 300), (100, 100), (97, 100), (0, 0)])
def test_the_bounds_of_a_rate_are_clopper_and_pearsons(count: int, of: int) -> None:
    rate = Rate(count, of)
    if of:
        exact = stats.binomtest(count, of)
        assert rate.at_least == pytest.approx(exact.proportion_ci(0.9, "exact").low)
        assert rate.at_most == pytest.approx(exact.proportion_ci(0.9, "exact").high)
    else:
        assert (rate.at_least, rate.at_most) == (0, 1)


SMALL = Design(unchanged=300, slowed=80, most_pairs=150, seconds=1e9, truth_seconds=1e9)


def simulated(
    design: Design = SMALL, slowdown: float = 1.05, rule: Any = rule_of_the_gate, before: float = 0.0, **world: float
) -> Any:
    """before: seconds that preparation took."""
    machine = Machine(5, **({"noise": 0.01} | world))
    machine.now = before
    return selftest(
        lambda: machine.subject(0.002),
        lambda: machine.subject(0.002 * slowdown),
        design,
        rule=rule,
        clock=machine.clock,
        start=0.0,
    )


def test_a_machine_with_some_noise_sees_five_per_cent() -> None:
    found = simulated(noise=0.02, drift=0.2)
    assert found.answer == "yes"
    assert found.false_alarms == Rate(0, 300)
    assert found.detections.of == 80
    assert found.truth.value == pytest.approx(1.05, abs=0.003)
    assert re.fullmatch(
        r"yes: this machine detects a slowdown of 5% .*, with \d+ pairs \(at most \d+\)", found.lines()[-1]
    )


def test_a_rule_that_never_alarms_is_caught_and_so_is_one_that_always_does() -> None:
    never, always = (simulated(rule=lambda _, said=said: said) for said in ("pass", "regressed"))
    assert (never.false_alarms.count, never.detections.count) == (0, 0)
    assert never.answer == always.answer == "no"
    assert never.lines()[-1].endswith("not detected often enough")
    assert always.detections.value == always.false_alarms.value == 1
    assert always.lines()[-1].endswith("false alarms")
    improving = simulated(rule=lambda _: "improved")
    assert improving.false_alarms.value == 1


def test_a_rule_without_a_margin_for_error_raises_false_alarms() -> None:
    found = simulated(rule=lambda ratio: "regressed" if ratio.value > 1.001 else "pass")
    assert found.answer == "no"
    assert 0.1 < found.false_alarms.value < 0.9


def test_a_machine_too_noisy_to_see_it_says_so_without_a_false_alarm() -> None:
    found = simulated(noise=0.3, design=Design(300, 80, 30, 1e9, 1e9))
    assert found.answer != "yes"
    assert found.false_alarms.value <= 0.01
    assert found.detections.value < 0.5


@pytest.mark.parametrize("slowdown", [1.03, 1.08])
def test_a_slowdown_that_is_not_what_it_was_meant_to_be_shows_nothing(slowdown: float) -> None:
    found = simulated(slowdown=slowdown, design=Design(300, 60, 100, 1e9, 1e9))
    assert found.answer == "inconclusive"
    assert re.search(r"slowed by [\d.]+%, not by 5%", found.lines()[-1])


def test_too_few_comparisons_show_nothing() -> None:
    found = simulated(design=Design(300, 80, 150, 30.0, 5.0))
    assert 10 < found.false_alarms.of < 250
    assert found.answer == "inconclusive"
    assert "time ran out" in found.lines()[-1]


@pytest.mark.parametrize(("noise", "before", "truth"), [(0.3, 0.0, 60.0), (0.01, 115.0, 5.0), (0.01, 0.0, 1e9)])
def test_the_limit_holds_for_all_that_is_done(noise: float, before: float, truth: float) -> None:
    machine = Machine(5, noise=noise)
    machine.now = before
    # A comparison that may take as many pairs as it likes must not go on by itself, nor the long run before.
    design = Design(unchanged=300, slowed=80, most_pairs=10**9, seconds=120.0, truth_seconds=truth)
    subjects = (lambda: machine.subject(0.02), lambda: machine.subject(0.021))
    found = selftest(*subjects, design, clock=machine.clock, start=0.0)
    assert machine.now < 150  # the fewest pairs of one comparison, and of the long run, take some seconds
    assert found.answer == "inconclusive"


def test_where_no_comparison_was_made_there_is_no_rate() -> None:
    lines = simulated(design=Design(300, 80, 150, 30.0, 5.0), before=40.0).lines()
    assert not any("nan" in line for line in lines)
    assert "no comparisons" in lines[1]
    assert "no comparisons" in lines[2]
    assert lines[-1].startswith("inconclusive: ")


def test_the_command_says_what_it_found_and_is_refused_while_another_holds_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, holder: Callable[[], subprocess.Popen[str]]
) -> None:
    monkeypatch.setattr("distillbench.bench.timing.selftest.QUICK", Design(4, 1, 30, 30.0, 0.5))
    monkeypatch.setenv(lock.VARIABLE, str(tmp_path / lock.NAME))
    done = CliRunner().invoke(command_line.app, ["selftest", "--quick"])
    assert done.exit_code == 4, done.output  # five comparisons show nothing; two missed ones would say no
    *_, network, unchanged, slowed, answer = done.output.splitlines()
    assert re.match(r"network: .* ms a pass; slowed by .*%", network)
    assert " in 4 comparisons" in unchanged
    assert " in 1 comparisons" in slowed
    assert answer.startswith("inconclusive: ")
    short = CliRunner().invoke(command_line.app, ["selftest", "--minutes", "0.01"])
    assert short.exit_code == 4, short.output
    assert "at most 0.01 minutes" in short.output
    assert "no comparisons" in short.output
    for minutes in ("0", "-1", "nan"):
        wrong = CliRunner().invoke(command_line.app, ["selftest", "--minutes", minutes])
        assert "--minutes: " in str(wrong.exception)
    process = holder()
    refused = CliRunner().invoke(command_line.app, ["selftest", "--quick"])
    assert isinstance(refused.exception, UserError)
    assert f"process {process.pid}: " in str(refused.exception)
