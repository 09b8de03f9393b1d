"""Every setting of TRL's GRPO that touches advantages, losses or batches, with the guard in it.

The lists of values are compared with those in TRL's source: a new value fails a test here until somebody looks at it.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import textwrap

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import set_weight  # noqa: E402
from datasets import Dataset  # noqa: E402
from test_trl import PROBLEMS, Watched, build, weights_of  # noqa: E402
from transformers import TrainerCallback  # noqa: E402
from trl import GRPOConfig, GRPOTrainer  # noqa: E402

from rlguard import GuardConfig  # noqa: E402
from rlguard.integrations.trl import STATE_FILE, GuardedGRPOTrainer, check_signatures  # noqa: E402
from rlguard.tables.read import read_rows  # noqa: E402

TOKENS = {"bnpo", "dapo", "cispo", "vespo"}
"""Losses divided by the tokens that are trained on; the others by sequences (grpo, sapo, luspo) or a constant."""
LOSS_TYPES = sorted(TOKENS | {"grpo", "sapo", "luspo", "dr_grpo"})
SCALE_REWARDS = ["group", "batch", "none"]
AGGREGATIONS = ["sum_then_normalize", "normalize_then_sum"]
SMALL = {"max_steps": 1, "per_device_train_batch_size": 8, "max_completion_length": 6}
RATE = 2e-4  # tiny_reasoner's learning rate


def every_fourth(completions, **_):
    return [float(i % 4 == 0) for i in range(len(completions))]


def lengths(completions, **_):
    return [((7 * i) % 5) / 5 for i in range(len(completions))]


def run(trainer_class, folder, config=None, rewards=every_fourth, nudge=0.0, resume=None, **options):
    """A short training; `nudge` moves the policy away from the reference model first, so that there is a KL."""
    trainer = build(trainer_class, folder, rewards=rewards, config=SMALL | (config or {}), **options)
    with torch.no_grad():
        for number, parameter in enumerate(trainer.model.parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(noise, alpha=nudge)
    trainer.start = weights_of(trainer)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def moved(trainer):
    return not torch.equal(trainer.start, weights_of(trainer))


def loss_config(loss_type):
    """LUSPO is made for ratios by sequence."""
    return {"loss_type": loss_type, "importance_sampling_level": "sequence" if loss_type == "luspo" else "token"}


def values_of(method, attribute):
    """The constants that a method of TRL compares `self.<attribute>` with."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(method)))):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == attribute:
            leaves = [leaf for side in node.comparators for leaf in ast.walk(side)]
            found |= {leaf.value for leaf in leaves if isinstance(leaf, ast.Constant)}
    return found


@pytest.mark.parametrize(
    ("method", "attribute", "known"),
    [
        ("_compute_loss", "loss_type", LOSS_TYPES),
        ("_generate_and_score_completions", "scale_rewards", SCALE_REWARDS),
        ("_generate_and_score_completions", "multi_objective_aggregation", AGGREGATIONS),
    ],
)
def test_every_value_that_trl_has_is_in_this_matrix(method, attribute, known):
    found = values_of(getattr(GRPOTrainer, method), attribute)
    assert found == set(known), f"TRL's {attribute} has other values than this file tests: add or remove them"
    described = GRPOConfig.__dataclass_fields__[attribute].metadata["help"]
    assert all(f"'{value}'" in described or f"{value}'" in described for value in known)


def test_the_installed_trl_has_the_wrapped_signatures():
    check_signatures(GRPOTrainer)


# --- losses ---


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_genuine_successes_train_bit_identically(tmp_path, monkeypatch, loss_type):
    set_weight(monkeypatch, 1.0)
    config = loss_config(loss_type)
    plain = run(GRPOTrainer, tmp_path, config)
    guarded = run(GuardedGRPOTrainer, tmp_path, config)
    assert moved(plain)
    assert torch.equal(weights_of(plain), weights_of(guarded))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize(("beta", "scale_steps"), [(0.0, False), (0.1, False), (0.1, True)])
def test_nothing_but_luck_moves_nothing_but_the_kl(tmp_path, monkeypatch, loss_type, beta, scale_steps):
    """The KL term acts on tokens whatever their advantage; a step scaled to nothing holds it back as well."""
    set_weight(monkeypatch, 0.0)
    config, guard = loss_config(loss_type) | {"beta": beta}, GuardConfig(scale_steps=scale_steps)
    trainer = run(GuardedGRPOTrainer, tmp_path, config, nudge=0.01, guard=guard)
    assert moved(trainer) == (beta > 0 and not scale_steps)


class Masked(GRPOTrainer):
    """What `mask_silent` has to come to, written out: rows of groups whose rewards are all equal are masked."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        told = (output["advantages"].view(-1, 4).abs().amax(1) > 0).repeat_interleave(4)
        output["completion_mask"] = output["completion_mask"] * told[:, None]
        output["num_items_in_batch"] = output["completion_mask"].sum()
        return output


def first_of_eight(completions, **_):
    return [float(i % 8 == 0) for i in range(len(completions))]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_silent_groups_are_masked_out_of_every_loss(tmp_path, monkeypatch, loss_type):
    """Of two groups the second is all wrong. The KL acts on it unless it is masked."""
    set_weight(monkeypatch, 1.0)
    config = loss_config(loss_type) | {"beta": 0.1}
    expected = run(Masked, tmp_path, config, first_of_eight, nudge=0.01)
    masked = run(GuardedGRPOTrainer, tmp_path, config, first_of_eight, nudge=0.01, guard=GuardConfig(mask_silent=True))
    kept = run(GuardedGRPOTrainer, tmp_path, config, first_of_eight, nudge=0.01)
    assert torch.equal(weights_of(masked), weights_of(expected))
    assert not torch.equal(weights_of(masked), weights_of(kept))
    assert masked.state.log_history[0]["rlguard/silent_groups"] == 0.5


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_batch_of_silent_groups_moves_nothing_once_they_are_masked(tmp_path, loss_type):
    config = loss_config(loss_type) | {"beta": 0.1}
    guard = GuardConfig(mask_silent=True, scale_steps=False)
    nothing = lambda completions, **_: [0.0] * len(completions)  # noqa: E731
    trainer = run(GuardedGRPOTrainer, tmp_path, config, nothing, nudge=0.01, guard=guard)
    assert not moved(trainer)
    assert all(map(math.isfinite, weights_of(trainer)[:9].tolist()))


def test_observe_masks_nothing(tmp_path):
    config = {"beta": 0.1}
    plain = run(GRPOTrainer, tmp_path, config, first_of_eight, nudge=0.01)
    guard = GuardConfig(mode="observe", mask_silent=True)
    watched = run(GuardedGRPOTrainer, tmp_path, config, first_of_eight, nudge=0.01, guard=guard)
    assert torch.equal(weights_of(plain), weights_of(watched))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A trainer whose loss is called by hand."""
    trainer = build(GRPOTrainer, tmp_path_factory.mktemp("bench"), config=SMALL)
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def gradient(trainer, monkeypatch, loss_type, advantages, kept, beta=0.0, entropy=0.0):
    """Gradient of TRL's loss on two groups of four, with `kept` (8,) the rows whose tokens are trained on."""
    settings = loss_config(loss_type) | {"beta": beta, "entropy_coef": entropy, "_entropy_bonus_enabled": entropy > 0}
    for name, value in settings.items():
        monkeypatch.setattr(trainer, name, value)
    rng = torch.Generator().manual_seed(0)
    mask = (torch.arange(6) < torch.tensor([6, 3, 4, 2, 5, 6, 1, 3])[:, None]) * torch.tensor(kept)[:, None].long()
    inputs = {
        "prompt_ids": torch.randint(3, 99, (8, 4), generator=rng), "prompt_mask": torch.ones(8, 4, dtype=torch.long),
        "completion_ids": torch.randint(3, 99, (8, 6), generator=rng), "completion_mask": mask,
        "advantages": torch.tensor(advantages, dtype=torch.float32), "num_items_in_batch": mask.sum(),
        "ref_per_token_logps": torch.full((8, 6), -4.0),
    }  # fmt: skip
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    assert torch.isfinite(loss)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters()]), int(mask.sum())


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_zeroed_rows_stay_in_the_denominator_and_masked_ones_leave_it_where_it_counts_tokens(
    bench, monkeypatch, loss_type
):
    """A group of advantage 0 keeps its tokens in TRL's denominator: what is left keeps the host's size. A masked group
    leaves `num_items_in_batch` and with it the denominators of tokens; sequences and constants count it still."""
    host = [1.5, -0.5, -0.5, -0.5]
    everyone, first = [True] * 8, [True] * 4 + [False] * 4
    zeroed, all_tokens = gradient(bench, monkeypatch, loss_type, host + [0.0] * 4, everyone)
    masked, kept_tokens = gradient(bench, monkeypatch, loss_type, host + host, first)
    assert zeroed.norm() > 0
    factor = all_tokens / kept_tokens if loss_type in TOKENS else 1.0
    torch.testing.assert_close(masked, zeroed * factor, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("term", ["beta", "entropy"])
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_kl_and_entropy_act_on_zeroed_tokens_but_not_on_masked_ones(bench, monkeypatch, loss_type, term):
    nothing = [0.0] * 8
    zeroed, _ = gradient(bench, monkeypatch, loss_type, nothing, [True] * 8, **{term: 0.1})
    masked, _ = gradient(bench, monkeypatch, loss_type, nothing, [False] * 8, **{term: 0.1})
    without, _ = gradient(bench, monkeypatch, loss_type, nothing, [True] * 8)
    assert zeroed.norm() > 0
    assert masked.norm() == without.norm() == 0


# --- rewards ---


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("scale_rewards", SCALE_REWARDS)
def test_lucky_successes_leave_the_other_rewards_at_the_hosts_scale(tmp_path, monkeypatch, scale_rewards, aggregation):
    """With every success worth nothing, what stays is the other reward over the host's own divisor."""
    config = {"scale_rewards": scale_rewards, "multi_objective_aggregation": aggregation, "reward_weights": [1.0, 0.5]}
    used = {}
    for weight in (1.0, 0.0):
        set_weight(monkeypatch, weight)
        trainer = run(Watched, tmp_path, config, [every_fourth, lengths], guard=GuardConfig(scale_steps=False))
        ((host, used[weight], logged),) = trainer.seen
        assert logged[-len(host) :] == pytest.approx(used[weight].tolist())
    assert torch.equal(used[1.0], host)
    rewards = np.array([every_fourth(host), lengths(host)]).T.reshape(2, 4, 2)
    deviations = (rewards - rewards.mean(axis=1, keepdims=True)) * [1.0, 0.5]
    if aggregation == "normalize_then_sum":  # by function and group, then over the batch
        deviations /= rewards.std(axis=1, ddof=1, keepdims=True) + 1e-4
        divisor = deviations.sum(axis=2).std(ddof=1) + 1e-4
    elif scale_rewards == "none":
        divisor = 1.0
    else:
        total = (rewards * [1.0, 0.5]).sum(axis=2)
        spread = total.std(axis=1, ddof=1, keepdims=True) if scale_rewards == "group" else total.std(ddof=1)
        divisor = spread + 1e-4
    expected = deviations / np.asarray(divisor)[..., None]
    np.testing.assert_allclose(host.reshape(2, 4), expected.sum(axis=2), atol=1e-5)  # TRL's rule as written above
    np.testing.assert_allclose(used[0.0].reshape(2, 4), expected[..., 1], atol=1e-5)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("scale_rewards", SCALE_REWARDS)
def test_observe_is_bit_identical_whatever_the_rewards(tmp_path, scale_rewards, aggregation):
    config = {"scale_rewards": scale_rewards, "multi_objective_aggregation": aggregation, "max_steps": 2}
    rewards = [every_fourth, lengths]
    plain = run(GRPOTrainer, tmp_path, config, rewards)
    watched = run(GuardedGRPOTrainer, tmp_path, config, rewards, guard=GuardConfig(mode="observe"))
    assert moved(plain)
    assert torch.equal(weights_of(plain), weights_of(watched))


# --- batches ---


class Rates(TrainerCallback):
    """The learning rates that the optimiser really used."""

    def __init__(self):
        self.used = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **_):
        self.used.append(optimizer.param_groups[0]["lr"] / RATE)


def rms(*values):
    return math.sqrt(sum(value**2 for value in values) / len(values))


SCALES = (0.8, 0.6, 0.4, 0.2)


@pytest.mark.parametrize(
    ("iterations", "per_generation", "accumulate", "expected"),
    [
        pytest.param(1, 1, 1, [0.8, 0.6, 0.4], id="a batch a step"),
        pytest.param(2, 1, 1, [0.8, 0.8, 0.6], id="a batch feeds two steps, twice over"),
        pytest.param(1, 2, 1, [0.8, 0.8, 0.6], id="a batch feeds two steps, half each"),
        pytest.param(2, 2, 1, [0.8, 0.8, 0.8, 0.8, 0.6], id="a batch feeds four steps"),
        pytest.param(1, 1, 2, [rms(0.8, 0.6), rms(0.4, 0.2)], id="two batches feed a step"),
        pytest.param(1, 2, 2, [0.8, 0.6], id="TRL's default: a batch of two micro-batches a step"),
        pytest.param(2, 2, 2, [0.8, 0.8, 0.6], id="the same, twice over"),
        pytest.param(1, 3, 2, [0.8, rms(0.8, 0.6), 0.6], id="a step over the end of a batch"),
    ],
)
def test_each_step_takes_the_scale_of_the_batches_that_feed_it(
    tmp_path, monkeypatch, iterations, per_generation, accumulate, expected
):
    scales = iter(SCALES)
    monkeypatch.setattr("rlguard.guard.size.StepSize.measure", lambda *_: (next(scales), 1.0))
    config = {
        "max_steps": len(expected), "num_iterations": iterations, "steps_per_generation": per_generation,
        "gradient_accumulation_steps": accumulate, "per_device_train_batch_size": 4,
    }  # fmt: skip
    rates = Rates()
    trainer = build(GuardedGRPOTrainer, tmp_path, rewards=every_fourth, config=SMALL | config)
    trainer.add_callback(rates)  # after the guard's own
    trainer.train()
    assert rates.used == pytest.approx(expected)
    assert trainer.optimizer.param_groups[0]["lr"] == RATE


@pytest.mark.parametrize(("iterations", "per_generation", "accumulate"), [(2, 1, 1), (2, 2, 1), (1, 4, 2), (1, 1, 2)])
def test_reused_and_split_batches_keep_the_rewritten_advantages(
    tmp_path, monkeypatch, iterations, per_generation, accumulate
):
    """Genuine successes: the host's own training; lucky ones: none, however often a batch is gone through."""
    config = {
        "max_steps": 2, "num_iterations": iterations, "steps_per_generation": per_generation,
        "gradient_accumulation_steps": accumulate, "per_device_train_batch_size": 4,
    }  # fmt: skip
    plain = run(GRPOTrainer, tmp_path, config)
    set_weight(monkeypatch, 1.0)
    assert torch.equal(weights_of(run(GuardedGRPOTrainer, tmp_path, config)), weights_of(plain))
    set_weight(monkeypatch, 0.0)
    assert not moved(run(GuardedGRPOTrainer, tmp_path, config, guard=GuardConfig(scale_steps=False)))


def test_evaluation_teaches_the_guard_nothing(tmp_path):
    config = {"per_device_eval_batch_size": 4, "num_generations_eval": 2, "eval_strategy": "steps", "eval_steps": 1}
    trainer = run(GuardedGRPOTrainer, tmp_path, config, eval_dataset=Dataset.from_list(PROBLEMS[:4]))
    known = json.dumps(trainer.guard.state_dict())
    metrics = trainer.evaluate()
    assert json.dumps(trainer.guard.state_dict()) == known
    assert "eval_reward" in metrics
    assert not any("rlguard" in name for name in metrics)
    assert trainer.optimizer.param_groups[0]["lr"] == RATE


# --- the guard's modes ---


@pytest.mark.parametrize("spoilt", [0, 1], ids=["the outcome", "another reward"])
def test_an_infinite_reward_costs_its_own_rollout_alone(tmp_path, monkeypatch, spoilt):
    """Without the guard, TRL's advantages of the whole group would be NaN."""

    def spoil(rewards):
        return [math.inf if i == 1 else reward for i, reward in enumerate(rewards)]

    functions = [lambda completions, **_: every_fourth(completions), lambda completions, **_: lengths(completions)]
    functions[spoilt] = lambda completions, **_: spoil((every_fourth, lengths)[spoilt](completions))
    set_weight(monkeypatch, 1.0)
    trainer = run(Watched, tmp_path, rewards=functions, guard=GuardConfig(scale_steps=False))
    ((host, used, _),) = trainer.seen
    assert torch.isfinite(used).all()
    assert (used != 0).sum() >= 6
    assert torch.equal(used[4:], host[4:])
    assert torch.isfinite(weights_of(trainer)).all()
    assert moved(trainer)
    set_weight(monkeypatch, 0.0)
    trainer = run(Watched, tmp_path, rewards=functions, guard=GuardConfig(scale_steps=False))
    ((host, used, _),) = trainer.seen
    assert used[0] < host[0] - 0.1  # its group's success is discounted all the same


@pytest.mark.parametrize(
    "place",
    [
        "rlguard.guard.reading.read_evidence",
        "rlguard.guard.guard.rewrite_groups",
        "rlguard.luck.model.genuine_given_text",
    ],
)
def test_a_fault_of_the_guard_leaves_the_trainer_its_own_advantages(tmp_path, monkeypatch, place, caplog):
    def fail(*_, **__):
        raise RuntimeError("out of order")

    plain = run(GRPOTrainer, tmp_path)
    monkeypatch.setattr(place, fail)
    guarded = run(GuardedGRPOTrainer, tmp_path)
    assert torch.equal(weights_of(guarded), weights_of(plain))
    assert guarded.state.log_history[0]["rlguard/faults"] > 0
    assert "out of order" in caplog.text


def test_a_column_that_holds_no_number_does_not_end_training(tmp_path):
    rows = [row | {"rlguard_successes": "1", "rlguard_trials": "many"} for row in PROBLEMS]
    plain = run(GRPOTrainer, tmp_path, rows=rows)
    assert torch.equal(weights_of(run(GuardedGRPOTrainer, tmp_path, rows=rows)), weights_of(plain))


def test_the_completions_table_gains_weights_and_findings(tmp_path):
    """In training and in evaluation, a cell in every row; evaluation is not judged."""

    def bare(completions, **_):  # so that a success is a bare number
        return [1.0 if i % 4 == 0 else 0.0 for i in range(len(completions))]

    config = {
        "log_completions": True, "eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4,
        "max_steps": 2,
    }  # fmt: skip
    trainer = run(GuardedGRPOTrainer, tmp_path, config, bare, eval_dataset=Dataset.from_list(PROBLEMS[:1]))
    rows = [row for table in sorted((tmp_path / "completions").glob("*.parquet")) for row in read_rows(table)]
    assert rows
    judged = [row for row in rows if row["rlguard_weight"] is not None and not math.isnan(row["rlguard_weight"])]
    assert 0 < len(judged) < len(rows)
    assert all(row["rlguard_weight"] == 1 for row in judged if row["bare"] == 0)
    flagged = trainer.state.log_history[0]["rlguard/flagged_share"]
    first = judged[:8]
    assert sum(bool(row["rlguard_findings"]) for row in first) / len(first) == pytest.approx(flagged)
    assert all(row["rlguard_findings"] is not None for row in rows)


# --- PEFT ---


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_peft_adapters(tmp_path, monkeypatch, beta):
    """Without a reference model of its own: TRL turns the adapter off to get one."""
    peft = pytest.importorskip("peft")
    config = {"beta": beta, "max_steps": 2, "save_strategy": "steps", "save_steps": 1}

    def adapted(trainer_class, resume=None):
        lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        return run(trainer_class, tmp_path, config, resume=resume, peft_config=lora)

    plain = adapted(GRPOTrainer)
    set_weight(monkeypatch, 1.0)
    genuine = adapted(GuardedGRPOTrainer)
    assert moved(plain)
    assert torch.equal(weights_of(genuine), weights_of(plain))
    assert json.loads((tmp_path / "checkpoint-2" / STATE_FILE).read_text()) == genuine.guard.state_dict()
    resumed = adapted(GuardedGRPOTrainer, resume=str(tmp_path / "checkpoint-1"))
    assert resumed.guard.state_dict() == genuine.guard.state_dict()
    assert torch.equal(weights_of(resumed), weights_of(genuine))
    set_weight(monkeypatch, 0.0)
    assert not moved(adapted(GuardedGRPOTrainer))
