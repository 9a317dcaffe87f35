"""Classes and ranks: what they promise of any board, and how often they err on boards of which the truth is known."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distillbench.bench.statistics import (
    classes,
    crossed_unpaired,
    front,
    holm,
    rank_draws,
    rank_intervals,
    ranks,
    unpaired_difference,
)
from simulations.classes import Case, error_rates, p_values, power

LEVEL = 0.05
BOARDS = 1000
PAIRED = Case("items", 5, 6, 0.3, 3, 0.2, 2, 0.5)
UNPAIRED = Case("items", 3, 6, 0.3, 3, 0.2, 2, 0.5, paired=False)
WITHOUT_ITEMS = Case("no items", 5, 1, 1, 0, 1, 0, 0)


@pytest.mark.parametrize("case", [PAIRED, UNPAIRED, WITHOUT_ITEMS], ids=["paired", "unpaired", "no items"])
def test_five_equal_entries_are_separated_on_at_most_one_board_in_twenty(case: Case) -> None:
    found = error_rates(case, np.random.default_rng(2), BOARDS)
    assert found["all pairs"] <= LEVEL
    assert found["uncorrected"] > 3 * LEVEL  # the simulation can fail
    assert found["anchor only"] > LEVEL  # as does one that forgets that the anchor was picked


def test_welchs_test_over_seeds_alone_would_separate_equal_entries_by_their_test_items() -> None:
    assert error_rates(UNPAIRED, np.random.default_rng(2), 300)["Welch"] > 3 * LEVEL


def test_a_real_difference_is_found() -> None:
    better = Case("seeds and items", 10, 100, 0.3, 3, 0.2, 0.5, 1, better=10)
    found = power(better, np.random.default_rng(3), 200)
    assert found["alone in class 1"] > 0.9
    assert found["not in class 1"] == 0


def in_turn(scores: list[float], p: np.ndarray) -> list[int]:
    """The other way: the first who is worse than the anchor begins the next class, and all behind it are in it."""
    order, found, anchor, current = np.argsort(scores)[::-1], [0] * len(scores), 0, 1
    differ = np.zeros_like(p)
    upper = np.triu_indices(len(scores), 1)
    differ[upper] = [adjusted < LEVEL for adjusted in holm(p[upper].tolist())]
    for place, i in enumerate(order):
        if differ[min(order[anchor], i), max(order[anchor], i)]:
            anchor, current = place, current + 1
        found[i] = current
    return found


def test_a_noisy_entry_is_not_said_to_be_worse_because_it_stands_behind_one_that_is() -> None:
    rng, wrong, in_turn_wrong = np.random.default_rng(4), 0, 0
    for _ in range(400):
        best, noisy, worse = (mean + sd * rng.normal(size=(5, 1)) for mean, sd in ((0, 0.1), (0, 4), (-1, 0.1)))
        board = [best, noisy, worse]
        scores, p = [float(m.mean()) for m in board], p_values(board, paired=False)
        wrong += classes(scores, p)[0] != classes(scores, p)[1]
        in_turn_wrong += in_turn(scores, p)[0] != in_turn(scores, p)[1]
    assert wrong <= LEVEL * 400
    assert in_turn_wrong > 2 * LEVEL * 400


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
    found = np.zeros(p.shape, dtype=bool)
    found[upper] = [adjusted < LEVEL for adjusted in holm(p[upper].tolist())]
    return found | found.T


@given(boards())
def test_a_class_is_who_is_not_worse_than_its_best_and_worse_than_every_better_anchor(
    board: tuple[list[float], np.ndarray],
) -> None:
    scores, p = board
    found, differ = classes(scores, p), separated(p)
    assert sorted(set(found)) == list(range(1, max(found) + 1))
    anchors = {c: max((i for i, its in enumerate(found) if its == c), key=lambda i: scores[i]) for c in set(found)}
    for i, its in enumerate(found):
        assert not differ[anchors[its], i]
        assert all(differ[anchors[better], i] for better in range(1, its))
    assert all(scores[anchors[c]] > scores[anchors[c + 1]] for c in range(1, max(found)))


@given(boards(), st.randoms())
def test_the_order_of_the_entries_changes_no_class(board: tuple[list[float], np.ndarray], random: object) -> None:
    scores, p = board
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = classes([scores[i] for i in order], p[np.ix_(order, order)])
    assert list(shuffled) == [classes(scores, p)[i] for i in order]


@given(boards())
def test_an_entry_that_is_surely_worse_than_all_changes_no_other_class(board: tuple[list[float], np.ndarray]) -> None:
    scores, p = board
    k = len(scores)
    wider = np.zeros((k + 1, k + 1))
    wider[:k, :k] = p
    found = classes([*scores, -1.0], wider)
    assert found[:k] == classes(scores, p)
    assert found[k] == max(found[:k]) + 1


@given(st.lists(st.integers(-1000, 1000).map(float), min_size=1, max_size=7, unique=True))
def test_where_all_vary_equally_classes_follow_ranks(scores: list[float]) -> None:
    x = np.array(scores)
    p = np.exp(-np.abs(x[:, None] - x[None, :]) / 20)
    found = classes(scores, p)
    ordered = [found[i] for i in np.argsort(-x)]
    assert all(one <= other for one, other in pairwise(ordered))


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"p: of shape \(2, 2\) for 3 entries"):
        classes([1, 2, 3], np.ones((2, 2)))


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
    at = ranks([matrix.mean() for matrix in values]).tolist()
    for (low, high), rank in zip(rank_intervals(rank_draws(values, *names, 50), at), at, strict=True):
        assert 1 <= low <= rank <= high <= len(values)


def test_what_entries_share_does_not_widen_their_ranks() -> None:
    rng = np.random.default_rng(0)
    hard = 10 * rng.normal(size=(6, 1)) + 10 * rng.normal(size=(1, 8))
    values = [hard + 1, hard, hard - 1]

    def intervals(seeds: list[str], items: list[str]) -> list[tuple[float, float]]:
        return rank_intervals(rank_draws(values, seeds, items), [1, 2, 3])

    assert intervals(["same"] * 3, ["same"] * 3) == [(1, 1), (2, 2), (3, 3)]
    assert intervals(["a", "b", "c"], ["same"] * 3)[0][1] > 1
    assert intervals(["same"] * 3, ["a", "b", "c"])[0][1] > 1


def test_ranks_are_drawn_the_same_each_time_and_whatever_is_in_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [np.random.default_rng(i).normal(size=(4, 5)) for i in range(3)]
    first = rank_draws(values, "sss", "iii", 100)
    assert (rank_draws(values, "sss", "iii", 100) == first).all()
    monkeypatch.setattr("distillbench.bench.statistics.ranking.AT_ONCE", 50)
    assert (rank_draws(values, "sss", "iii", 100) == first).all()


def test_equal_names_of_unequal_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"seeds 's': 3 of them, and others"):
        rank_draws([np.ones((2, 1)), np.ones((3, 1))], "ss", "ii")


sides = st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=2, max_size=4)


@example(2 * [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 3.7e-131]], False)  # a variance whose square is zero
@given(sides, sides, st.booleans())
def test_unpaired_is_never_narrower_than_over_seeds_alone(
    one: list[list[float]], other: list[list[float]], same: bool
) -> None:
    alone = unpaired_difference([fmean(row) for row in one], [fmean(row) for row in other])
    found = crossed_unpaired(one, other, same)
    assert found.half_width >= alone.half_width * (1 - 1e-9)
    assert found.p >= alone.p * (1 - 1e-9)
    assert found.mean == pytest.approx(alone.mean, abs=1e-9)


def test_unpaired_with_one_item_is_welchs_and_with_one_seed_is_nothing() -> None:
    assert crossed_unpaired([[1.0], [2.0]], [[4.0], [6.0]], True) == unpaired_difference([1, 2], [4, 6])
    assert math.isnan(crossed_unpaired([[1.0, 2.0]], [[4.0, 6.0], [5.0, 5.0]], True).p)


def test_the_front_is_who_is_not_beaten_in_both() -> None:
    costs, scores = [1, 2, 3, 2, None, 1], [1.0, 3.0, 2.0, 3.0, 9.0, 0.5]
    assert front(costs, scores) == (True, True, False, True, False, False)
