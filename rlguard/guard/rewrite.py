"""The rewrite of a trainer's advantages: lucky successes count for less.

The reward that a success earned over its group's failures is scaled by w, and the change is carried into the
advantage *at the host's own scale*: std normalisation is scale-free and would undo a discount made before it. Adam is
scale-free too, so the learning rate has to carry what the rewrite takes (`size.StepSize`). docs/rewrite.md derives
it on one page, with a test for each of its statements.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def rewrite_advantages(
    advantages_B: Any,
    rewards_B: Any,
    outcomes_B: Any,
    group_ids_B: Any,
    weights_B: Any,
    scale_B: Any = None,
    total_rewards_B: Any = None,
) -> Any:
    """Carries discounted successes into a trainer's advantages.

    With f the mean reward of the group's failures (of its lowest-paid rollouts when nothing failed), a success of
    weight w is worth r̃ = r − (1 − w)·max(r − f, 0). The advantage moves by what that changes:

        A' = A + (d − mean_group(d)) / s,   d = r̃ − r ≤ 0

    where s is the divisor that the host applied to r − mean(r). It is read off the host's own advantages (the slope of
    rewards against advantages within the group), so the same function serves std normalisation, Dr. GRPO, RLOO,
    MaxRL and any other advantage that is affine in the reward within a group. Successes of weight 0 therefore end
    with the advantage of a failure.

    A group without a discounted success keeps the host's numbers bit for bit. A group whose successes all have weight 0
    gets 0 everywhere. Rows with a NaN outcome, or a reward or advantage that is not finite, get 0; where the host
    counted them in its baseline, the group is centred again without them. A group without any outcome keeps the host's
    numbers: it is paid for something else.

    Args:
        advantages_B: (B,) the host's advantages, numpy or torch.
        rewards_B: (B,) the rewards paid for the outcome, in the host's units (weighted as the host weights them).
        outcomes_B: (B,) 1 correct, 0 wrong, NaN could not be judged.
        group_ids_B: (B,) numbers or names; rows of one group share theirs and may stand anywhere.
        weights_B: (B,) weights of successes in [0, 1]; ignored for failures.
        scale_B: (B,) the host's divisor, constant within a group, where it is known. None reads it off.
        total_rewards_B: (B,) all rewards together, when others are paid beside the outcome's; for reading off s.

    Returns:
        (B,) rewritten advantages, of the type, dtype and device of `advantages_B`.

    Raises:
        ValueError: If lengths differ or a weight lies outside [0, 1]; the message names the argument and the row.

    >>> rewrite_advantages([1.5, -0.5, -0.5, -0.5], [1, 0, 0, 0], [1, 0, 0, 0], [7, 7, 7, 7], [0, 1, 1, 1]).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    groups, _ = number_groups(group_ids_B)
    return rewrite_groups(advantages_B, rewards_B, outcomes_B, groups, weights_B, scale_B, total_rewards_B)[0]


def number_groups(group_ids_B: Any) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the groups of a batch 0..P-1: (B,) the number of each row's group, and (P,) the first row of each."""
    try:
        ids = as_array(group_ids_B)
        if ids.ndim != 1 or (ids.dtype.kind == "f" and np.isnan(ids).any()):
            raise ValueError(f"its shape is {ids.shape}" if ids.ndim != 1 else "it holds NaN")
        _, first_P, groups_B = np.unique(ids, return_index=True, return_inverse=True)
    except (TypeError, ValueError) as error:  # None among numbers, say, has no order
        raise ValueError(f"group_ids_B: expected a number or name of each row's group ({error})") from error
    return groups_B, first_P


def rewrite_groups(
    advantages_B: Any,
    rewards_B: Any,
    outcomes_B: Any,
    groups_B: np.ndarray,
    weights_B: Any,
    scale_B: Any = None,
    total_rewards_B: Any = None,
) -> tuple[Any, np.ndarray]:
    """`rewrite_advantages` where the groups are numbered already (`number_groups`); also what weights of 1 would give,
    as numpy."""
    host, groups = as_float(advantages_B), groups_B
    if host.ndim != 1:
        raise ValueError(f"advantages_B has shape {host.shape}, expected (B,) (one per rollout)")
    if len(groups) != len(host):
        raise ValueError(f"group_ids_B has {len(groups)} rows, expected {len(host)} (one per advantage)")
    columns = _check_columns(len(host), rewards=rewards_B, outcomes=outcomes_B, weights=weights_B)
    rewards, outcomes, weights = columns["rewards"], check_outcomes(columns["outcomes"]), columns["weights"]
    total = rewards
    if total_rewards_B is not None:
        total = _check_columns(len(host), total_rewards=total_rewards_B)["total_rewards"]
    scored = ~np.isnan(outcomes) & np.isfinite(rewards) & np.isfinite(total) & np.isfinite(host)
    success = scored & (outcomes > 0)
    bad = success & ~((weights >= 0) & (weights <= 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"weights_B: row {row} is {weights[row]}, expected a number in [0, 1]")

    finite = np.isfinite(host)
    given = np.where(finite, host, 0.0)
    host, recentred = _silence_unscored(given, scored, groups)
    discount = _discount(rewards, success, scored, weights, groups)
    if scale_B is None:
        scale = _host_scale(host, total, scored, groups)
    elif (divisors := as_float(scale_B)).ndim:
        scale = _check_columns(len(host), scale=divisors)["scale"]
    else:
        scale = np.full(len(host), divisors)
    shift = np.where(scored, discount - _group_mean(discount, scored, groups), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(scale > 0, shift / scale, 0.0)
    changed = _group_any(discount != 0, groups) & (scale > 0)
    rewritten = np.where(scored, host + shift, 0.0)
    emptied = changed & ~_group_any(success & (weights > 0), groups)
    emptied &= _outcome_only(rewards, total, success, scored, groups)
    rewritten[emptied] = 0.0  # nothing genuine is left: no rounding residue may remain, Adam would amplify it
    unweighted = np.where(recentred, np.where(scored, host, 0.0), given)
    return _like(advantages_B, rewritten, changed | recentred | ~finite), unweighted


def _silence_unscored(host: np.ndarray, scored: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Takes the votes of unscored rows back out of the host's baseline; also says which rows that changed."""
    voted = _group_any(~scored & (host != 0), groups) & _group_any(scored, groups)
    centred = host - _group_mean(host, scored, groups)
    return np.where(voted, np.where(scored, centred, 0.0), host), voted


def _discount(
    rewards: np.ndarray, success: np.ndarray, scored: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """d = r̃ − r ≤ 0 per row."""
    failures = scored & ~success
    lowest = np.full(groups.max(initial=-1) + 1, np.inf)
    np.minimum.at(lowest, groups[scored], rewards[scored])
    floor = np.where(_group_any(failures, groups), _group_mean(rewards, failures, groups), lowest[groups])
    excess = np.where(success, np.maximum(np.where(success, rewards, 0.0) - np.where(success, floor, 0.0), 0.0), 0.0)
    return np.where(success, -(1 - np.where(success, weights, 1.0)) * excess, 0.0)


def _host_scale(host: np.ndarray, rewards: np.ndarray, scored: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The divisor s in A = (r − const) / s, per row, by least squares within each group; 0 where A or r is constant."""
    reward_dev = np.where(scored, rewards - _group_mean(rewards, scored, groups), 0.0)
    host_dev = np.where(scored, host - _group_mean(host, scored, groups), 0.0)
    count = groups.max(initial=-1) + 1
    spread = np.bincount(groups, reward_dev**2, count)
    slope = np.bincount(groups, reward_dev * host_dev, count)  # s = Σ dr² / Σ dr·dA
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(slope > 0, spread / slope, 0.0)[groups]


def _group_mean(values: np.ndarray, voters: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Mean over each group's voters, spread back over the rows; 0 where nobody votes."""
    count = groups.max(initial=-1) + 1
    total = np.bincount(groups, np.where(voters, values, 0.0), count)
    votes = np.bincount(groups, voters, count)
    return (total / np.maximum(votes, 1))[groups]


def _group_any(flags: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return (np.bincount(groups, flags, groups.max(initial=-1) + 1) > 0)[groups]


def _outcome_only(
    rewards: np.ndarray, total: np.ndarray, success: np.ndarray, scored: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """True where nothing but success paid in the row's group: all failures earned the same, and so did all rows beside
    the outcome."""
    varies = np.zeros(len(rewards), bool)
    beside = np.subtract(total, rewards, where=scored, out=np.zeros(len(rewards)))
    for values, rows in ((rewards, scored & ~success), (beside, scored)):
        varies |= rows & ~np.isclose(values, _group_mean(values, rows, groups), rtol=1e-9, atol=1e-12)
    return ~_group_any(varies, groups)


def _check_columns(rows: int, **columns: Any) -> dict[str, np.ndarray]:
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = array = as_float(values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}_B: expected numbers, got {values!r:.60} ({error})") from error
        if array.shape != (rows,):
            raise ValueError(f"{name}_B has shape {array.shape}, expected ({rows},) (one per advantage)")
    return arrays


def check_outcomes(outcomes_B: Any) -> np.ndarray:
    """Outcomes as float64; ValueError for what is not 1, 0 or NaN, as a score of 0.5 is."""
    outcomes = as_float(outcomes_B)
    odd = ~(np.isnan(outcomes) | (outcomes == 0) | (outcomes == 1))
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise ValueError(
            f"outcomes_B: row {row} is {outcomes.flat[row]:g}, expected 1, 0 or NaN; Guard.read_outcomes reads scores"
        )
    return outcomes


def as_array(values: Any) -> np.ndarray:
    """Numbers of any kind (list, numpy, torch on any device) as numpy."""
    if hasattr(values, "detach"):  # torch, without importing it
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()  # numpy knows no bfloat16
    return np.asarray(values)


def as_float(values: Any) -> np.ndarray:
    """Numbers of any kind (list with None, numpy, torch on any device) as float64; None is NaN."""
    if isinstance(values, list):
        values = [np.nan if value is None else value for value in values]
    return as_array(values).astype(float)


def take_rows(values: Any, rows: np.ndarray) -> Any:
    """Some rows of a list, an array or a tensor; None stays None."""
    if isinstance(values, list | tuple):
        return [values[row] for row in rows]
    return None if values is None else values[rows]


def put_rows(host: Any, values: Any, place_B: np.ndarray) -> Any:
    """`values[place_B]`, and the host's own number where the place is -1; as the host's type, dtype and device."""
    spread = np.asarray(as_array(values), float)[place_B] if len(values) else np.zeros(len(place_B))
    return _like(host, spread, place_B >= 0)


def _like(host: Any, values: np.ndarray, changed: np.ndarray) -> Any:
    """`values` where changed and the host's own numbers elsewhere, as the host's type, dtype and device."""
    if hasattr(host, "new_tensor"):
        host = host if host.is_floating_point() else host.float()
        return host.where(~host.new_tensor(changed).bool(), host.new_tensor(values))
    array = np.asarray(host)
    dtype = array.dtype if array.dtype.kind == "f" else float
    return np.where(changed, values.astype(dtype), array.astype(dtype))
