"""Tiers and ranks: what they promise on any board, and how often they err on boards whose truth is known."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distillbench.bench.statistics import (
    crossed_unpaired,
    holm,
    pareto_front,
    rank_draws,
    rank_intervals,
    ranks,
    tiers,
    unpaired_difference,
)
from simulations.tiers import Case, error_rates, p_values, power

LEVEL = 0.05
BOARDS = 1000
PAIRED = Case("examples", 5, 6, 0.3, 3, 0.2, 2, 0.5)
UNPAIRED = Case("examples", 3, 6, 0.3, 3, 0.2, 2, 0.5, paired=False)
WITHOUT_EXAMPLES = Case("no examples", 5, 1, 1, 0, 1, 0, 0)


@pytest.mark.parametrize("case", [PAIRED, UNPAIRED, WITHOUT_EXAMPLES], ids=["paired", "unpaired", "no examples"])
def test_five_equal_entries_are_separated_on_at_most_one_board_in_twenty(case: Case) -> None:
    rates = error_rates(case, np.random.default_rng(2), BOARDS)
    assert rates["all pairs"] <= LEVEL
    assert rates["uncorrected"] > 3 * LEVEL  # the simulation can fail
    assert rates["anchor only"] > LEVEL  # as does one that forgets that the anchor was picked


def test_welchs_test_over_seeds_alone_would_separate_equal_entries_by_their_test_examples() -> None:
    assert error_rates(UNPAIRED, np.random.default_rng(2), 300)["Welch"] > 3 * LEVEL


def test_a_real_difference_is_found() -> None:
    better = Case("seeds and examples", 10, 100, 0.3, 3, 0.2, 0.5, 1, better=10)
    shares = power(better, np.random.default_rng(3), 200)
    assert shares["alone in tier 1"] > 0.9
    assert shares["not in tier 1"] == 0


def in_order(scores: list[float], p: np.ndarray) -> list[int]:
    """The alternative: the first who is worse than the anchor begins the next tier, and all behind it are in it."""
    order, result, anchor, tier = np.argsort(scores)[::-1], [0] * len(scores), 0, 1
    differ = np.zeros_like(p)
    upper = np.triu_indices(len(scores), 1)
    differ[upper] = [adjusted < LEVEL for adjusted in holm(p[upper].tolist())]
    for place, i in enumerate(order):
        if differ[min(order[anchor], i), max(order[anchor], i)]:
            anchor, tier = place, tier + 1
        result[i] = tier
    return result


def test_a_noisy_entry_does_not_count_as_worse_because_it_stands_behind_one_that_is() -> None:
    rng, wrong, in_order_wrong = np.random.default_rng(4), 0, 0
    for _ in range(400):
        best, noisy, worse = (mean + sd * rng.normal(size=(5, 1)) for mean, sd in ((0, 0.1), (0, 4), (-1, 0.1)))
        board = [best, noisy, worse]
        scores, p = [float(m.mean()) for m in board], p_values(board, paired=False)
        wrong += tiers(scores, p)[0] != tiers(scores, p)[1]
        in_order_wrong += in_order(scores, p)[0] != in_order(scores, p)[1]
    assert wrong <= LEVEL * 400
    assert in_order_wrong > 2 * LEVEL * 400


@st.composite
def boards(draw: st.DrawFn, least: int = 1) -> tuple[list[float], np.ndarray]:
    """Distinct scores, and p-values of every pair, some of them not tested."""
    k = draw(st.integers(least, 7))
    scores = draw(st.permutations([float(i) for i in range(k)]))
    p = np.ones((k, k))
    values = st.one_of(st.floats(0, 1), st.floats(0, 0.01), st.just(math.nan))
    for i in range(k):
        for j in range(i):
            p[i, j] = p[j, i] = draw(values)
    return list(scores), p


def separated(p: np.ndarray) -> np.ndarray:
    upper = np.triu_indices(len(p), 1)
    differ = np.zeros(p.shape, dtype=bool)
    differ[upper] = [adjusted < LEVEL for adjusted in holm(p[upper].tolist())]
    return differ | differ.T


@given(boards())
def test_a_tier_is_who_is_not_worse_than_its_best_and_worse_than_every_better_anchor(
    board: tuple[list[float], np.ndarray],
) -> None:
    scores, p = board
    result, differ = tiers(scores, p), separated(p)
    assert sorted(set(result)) == list(range(1, max(result) + 1))
    anchors = {t: max((i for i, tier in enumerate(result) if tier == t), key=lambda i: scores[i]) for t in set(result)}
    for i, tier in enumerate(result):
        assert not differ[anchors[tier], i]
        assert all(differ[anchors[better], i] for better in range(1, tier))
    assert all(scores[anchors[t]] > scores[anchors[t + 1]] for t in range(1, max(result)))


@given(boards(), st.randoms())
def test_the_order_of_the_entries_changes_no_tier(board: tuple[list[float], np.ndarray], random: object) -> None:
    scores, p = board
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = tiers([scores[i] for i in order], p[np.ix_(order, order)])
    assert list(shuffled) == [tiers(scores, p)[i] for i in order]


@given(boards())
def test_an_entry_that_is_surely_worse_than_all_changes_no_other_tier(board: tuple[list[float], np.ndarray]) -> None:
    scores, p = board
    k = len(scores)
    wider = np.zeros((k + 1, k + 1))
    wider[:k, :k] = p
    result = tiers([*scores, -1.0], wider)
    assert result[:k] == tiers(scores, p)
    assert result[k] == max(result[:k]) + 1


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=7, unique=True))
def test_where_all_vary_equally_tiers_follow_ranks(scores: list[float]) -> None:
    x = np.array(scores)
    p = np.exp(-np.abs(x[:, None] - x[None, :]) / 20)
    result = tiers(scores, p)
    ordered = [result[i] for i in np.argsort(-x)]
    assert all(first <= second for first, second in pairwise(ordered))


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p has shape \(2, 2\) for 3 entries"):
        tiers([1, 2, 3], np.ones((2, 2)))


def test_equal_scores_share_the_mean_of_their_ranks() -> None:
    assert ranks([3.0, 1.0, 3.0, 0.0]).tolist() == [1.5, 3, 1.5, 4]
    assert ranks([[1.0, 2.0], [2.0, 1.0]]).tolist() == [[2, 1], [1, 2]]


matrices = st.integers(2, 5).flatmap(
    lambda k: st.lists(
        st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=4, max_size=4), min_size=k, max_size=k
    )
)


@settings(max_examples=30)
@given(matrices)
def test_the_interval_of_a_rank_holds_the_rank(board: list[list[list[float]]]) -> None:
    values = [np.array(matrix) for matrix in board]
    names = ["s"] * len(values), ["i"] * len(values)
    current = ranks([matrix.mean() for matrix in values]).tolist()
    for (low, high), rank in zip(rank_intervals(rank_draws(values, *names, 50), current), current, strict=True):
        assert 1 <= low <= rank <= high <= len(values)


def test_what_entries_share_does_not_widen_their_ranks() -> None:
    rng = np.random.default_rng(0)
    hard = 10 * rng.normal(size=(6, 1)) + 10 * rng.normal(size=(1, 8))
    values = [hard + 1, hard, hard - 1]

    def intervals(seeds: list[str], examples: list[str]) -> list[tuple[float, float]]:
        return rank_intervals(rank_draws(values, seeds, examples), [1, 2, 3])

    assert intervals(["same"] * 3, ["same"] * 3) == [(1, 1), (2, 2), (3, 3)]
    assert intervals(["a", "b", "c"], ["same"] * 3)[0][1] > 1
    assert intervals(["same"] * 3, ["a", "b", "c"])[0][1] > 1


def test_ranks_are_drawn_the_same_each_time_and_whatever_is_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [np.random.default_rng(i).normal(size=(4, 5)) for i in range(3)]
    first = rank_draws(values, "sss", "iii", 100)
    assert (rank_draws(values, "sss", "iii", 100) == first).all()
    monkeypatch.setattr("distillbench.bench.statistics.ranking.MAX_NUMBERS", 50)
    assert (rank_draws(values, "sss", "iii", 100) == first).all()


def test_equal_names_of_unequal_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="seeds 's': sets of 2 and 3"):
        rank_draws([np.ones((2, 1)), np.ones((3, 1))], "ss", "ii")


sides = st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=2, max_size=4)


@example(2 * [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 3.7e-131]], False)  # a variance whose square is zero
@given(sides, sides, st.booleans())
def test_unpaired_is_never_narrower_than_over_seeds_alone(
    first: list[list[float]], second: list[list[float]], same: bool
) -> None:
    over_seeds = unpaired_difference([fmean(row) for row in first], [fmean(row) for row in second])
    interval = crossed_unpaired(first, second, same)
    assert interval.half_width >= over_seeds.half_width * (1 - 1e-9)
    assert interval.p >= over_seeds.p * (1 - 1e-9)
    assert interval.mean == pytest.approx(over_seeds.mean, abs=1e-9)


def test_unpaired_with_one_example_is_welchs_and_with_one_seed_has_no_width() -> None:
    assert crossed_unpaired([[1.0], [2.0]], [[4.0], [6.0]], True) == unpaired_difference([1, 2], [4, 6])
    assert math.isnan(crossed_unpaired([[1.0, 2.0]], [[4.0, 6.0], [5.0, 5.0]], True).p)


def test_the_front_is_who_is_not_dominated() -> None:
    costs, scores = [1, 2, 3, 2, None, 1], [1.0, 3.0, 2.0, 3.0, 9.0, 0.5]
    assert pareto_front(costs, scores) == (True, True, False, True, False, False)
