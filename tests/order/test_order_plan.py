"""The planned order: exact where it says so, silent where the data say nothing, structure first there."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlguard.order.plan import find_orders, order_loss, plan_order
from rlguard.order.transfer import Transfer, backward_transfer
from rlguard.types import InputError


def slow_loss(losses, order):
    return sum(losses[i][j] for i, j in combinations(order, 2))


def brute_force(losses):
    return min(permutations(range(len(losses))), key=lambda order: slow_loss(losses, order))


def observe(change, questions=200, rollouts=4, trainings=1, noise=0.0, seed=0, entropy=np.nan, base=0.5):
    """A matrix measured on questions whose pass rates all change by `change[i, j]`, and by `noise` a training."""
    rng, count = np.random.default_rng(seed), len(change)
    shifts = np.asarray(change) + rng.normal(0, noise, (trainings, count, count))
    before = tuple(rng.binomial(rollouts, base, questions) / rollouts for _ in range(count))
    rates = np.clip(base + shifts, 0, 1)[..., None]
    after = tuple(rng.binomial(rollouts, rates[:, i], (trainings, count, questions)) / rollouts for i in range(count))
    return Transfer(tuple(f"d{i}" for i in range(count)), before, after, np.array(entropy))


@given(count=st.integers(2, 6), seed=st.integers(0, 10**6), whole=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_exact_order_is_as_good_as_the_best_of_all(count, seed, whole):
    rng = np.random.default_rng(seed)
    losses = rng.integers(-2, 3, (count, count)).astype(float) if whole else rng.normal(size=(count, count))
    [order] = find_orders(losses[None])
    assert sorted(order) == list(range(count))
    assert order_loss(losses, order) == pytest.approx(slow_loss(losses, order))
    assert order_loss(losses, order) == pytest.approx(slow_loss(losses, brute_force(losses)))


def test_many_matrices_are_ordered_each_for_itself_and_what_stands_on_the_diagonal_does_not_count():
    losses = np.random.default_rng(0).normal(size=(7, 5, 5))
    assert find_orders(losses) == [find_orders(one[None])[0] for one in losses * ~np.eye(5, dtype=bool)]


def test_twelve_domains_are_ordered_along_a_hidden_line():
    hidden = np.random.default_rng(1).permutation(12)
    losses = np.subtract.outer(hidden, hidden).astype(float)  # a later one that is first loses
    [found] = find_orders(losses[None])
    assert hidden[found].tolist() == list(range(12))


def test_more_domains_than_can_be_compared_are_refused():
    with pytest.raises(InputError, match="at most 16 domains, to compare all orders, got 17"):
        plan_order(observe(np.zeros((17, 17)), 4), 10)


def test_the_promised_backward_transfer_is_that_of_a_run_whose_effects_add_up():
    change = np.array([[0.2, -0.1, 0.05], [0.1, 0.2, -0.3], [-0.2, 0.0, 0.2]])
    plan = plan_order(observe(change, questions=4000))
    order = [int(name[1:]) for name in plan.order]
    accuracy_TT = 0.5 + np.cumsum(change[np.ix_(order, order)].T, axis=0)  # [t, i]: i after all stages up to t
    assert plan.backward_transfer == pytest.approx(backward_transfer(accuracy_TT), abs=0.03)
    assert f"Expected backward transfer per domain: {plan.backward_transfer:+.3f}." in "\n".join(plan.describe())
    assert plan.to_record()["backward_transfer"] == plan.backward_transfer


def test_clear_damage_decides_and_the_plan_says_why():
    change = np.zeros((3, 3))
    change[0, 1] = change[2, 1] = -0.3  # training d1 damages both others
    plan = plan_order(observe(change, questions=1000))
    assert plan.order[0] == "d1"
    assert plan.separates
    assert plan.loss == pytest.approx(0, abs=0.05)
    assert plan.reversed_loss == pytest.approx(0.6, abs=0.07)
    assert plan.average_loss == pytest.approx((plan.loss + plan.reversed_loss) / 2)
    text = "\n".join(plan.describe())
    assert "d1 before d0: training d0 changes d1 by" in text
    assert "One training per domain" in text
    assert {(pair.first, pair.second) for pair in plan.pairs} >= {("d1", "d0"), ("d1", "d2")}
    assert all(pair.saved == pytest.approx(0.3, abs=0.06) for pair in plan.pairs if pair.first == "d1")


def test_on_exact_measurements_the_plan_is_the_brute_force_optimum():
    change = np.random.default_rng(3).uniform(-0.4, 0.4, (5, 5))
    found = observe(change, questions=4000)
    best = brute_force(-found.change_DD)
    plan = plan_order(found, resamples=200)
    assert slow_loss(-found.change_DD, [int(name[1]) for name in plan.order]) == pytest.approx(
        slow_loss(-found.change_DD, best), abs=0.01
    )
    assert plan.loss == pytest.approx(slow_loss(-found.change_DD, best), abs=0.05)


def test_pure_noise_seldom_separates_the_orders():
    plans = [plan_order(observe(np.zeros((4, 4)), 32, seed=seed), 400) for seed in range(60)]
    assert sum(plan.separates for plan in plans) <= 8  # 0.05 of 60, and what chance allows
    silent = [plan for plan in plans if plan.spread == 0]
    assert len(silent) > 18
    for plan in silent:
        assert plan.probability == 0.5
        assert plan.loss == pytest.approx(plan.reversed_loss)
        assert plan.pairs == ()
        assert plan.describe()[0].startswith("Nothing separates the orders")


def test_chance_between_trainings_is_noise_too():
    plans = [plan_order(observe(np.zeros((4, 4)), 100, trainings=3, noise=0.15, seed=seed), 400) for seed in range(30)]
    assert sum(plan.separates for plan in plans) <= 5
    alone = [plan_order(observe(np.zeros((4, 4)), 100, noise=0.15, seed=seed), 400) for seed in range(30)]
    assert sum(plan.separates for plan in alone) > 15  # one training cannot know better, and its plan says so
    assert all("One training per domain" in "\n".join(plan.describe()) for plan in alone)


@pytest.mark.parametrize(
    ("entropy", "order"),
    [
        ([0.2, -0.1, 0.0, -0.3], ("d3", "d1", "d2", "d0")),
        ([np.nan, -0.1, np.nan, -0.3], ("d3", "d1", "d0", "d2")),
        (np.nan, ("d0", "d1", "d2", "d3")),
        ([0.0, 0.0, 0.0, 0.0], ("d0", "d1", "d2", "d3")),
    ],
)
def test_where_the_data_say_nothing_structure_comes_first(entropy, order):
    rates = np.tile([0.25, 0.75], 10)
    still = tuple(np.tile(rates, (1, 4, 1)) for _ in range(4))  # no training changes anything
    plan = plan_order(Transfer(
        ("d0", "d1", "d2", "d3"), (rates,) * 4, still, np.array(entropy)
    ))  # fmt: skip
    assert plan.order == order
    assert plan.probability == 0.5


def test_structure_gives_way_to_damage():
    change = np.zeros((2, 2))
    change[0, 1] = -0.3
    assert plan_order(observe(change, entropy=np.array([-1.0, 1.0]))).order == ("d1", "d0")


def test_a_cycle_is_broken_at_its_weakest_pair_and_that_is_said():
    change = np.zeros((3, 3))
    change[1, 0], change[2, 1], change[0, 2] = -0.4, -0.4, -0.2  # 0 before 1 before 2 before 0
    plan = plan_order(observe(change, questions=2000))
    assert plan.order == ("d0", "d1", "d2")
    assert any("alone it would stand the other way round" in line for line in plan.describe())
    assert plan.loss == pytest.approx(0.2, abs=0.05)


def test_names_do_not_decide():
    found = observe(np.random.default_rng(5).uniform(-0.3, 0.1, (4, 4)), questions=500)
    mixed = [2, 0, 3, 1]
    other = Transfer(
        tuple(found.domains[i] for i in mixed),
        tuple(found.before[i] for i in mixed),
        tuple(found.after[i][:, mixed] for i in mixed),
    )
    assert plan_order(found).order == plan_order(other).order


def test_two_domains_and_a_loss_of_nothing_still_make_a_plan():
    plan = plan_order(observe(np.array([[0.1, 0.1], [0.1, 0.1]])))
    assert set(plan.order) == {"d0", "d1"}
    assert plan.alternative == plan.order[::-1]
    assert plan.loss < 0  # they help each other
