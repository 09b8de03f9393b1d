"""The audit in training: in TRL's own trainer on the tiny model, and its parts without one."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from accelerate.utils import DistributedType  # noqa: E402
from conftest import TINY, FakeEngine  # noqa: E402
from tiny_reasoner.tasks import make_problems  # noqa: E402
from tiny_trl import build, weights_of  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from rlguard.audit.in_training import Questions, read_baseline, record_look  # noqa: E402
from rlguard.audit.samples import Item  # noqa: E402
from rlguard.integrations import trl_audit  # noqa: E402
from rlguard.integrations.trl_audit import HISTORY, AuditCallback, check_weights  # noqa: E402
from rlguard.types import InputError, Sampling  # noqa: E402
from rlguard.verify.pool import VerifierPool  # noqa: E402
from rlguard.verify.verifiers import Exact  # noqa: E402

ROWS = make_problems(["add", "sub"], 32, 9, held_out=True)
ITEMS = [Item(f"q{number}", row["prompt"], row["answer"], row["family"]) for number, row in enumerate(ROWS)]
SMALL = {"per_device_train_batch_size": 8, "num_generations": 4, "logging_steps": 1}
HARMFUL = 0.05
"""A learning rate that destroys the tiny model in two steps."""


def audit(**options):
    settings = {"suite": ITEMS, "every": 2, "n": 2, "sampling": Sampling(max_tokens=40), "verifier": Exact()}
    return AuditCallback(**(settings | options))


def noise(completions, **_):
    return [float(number % 2) for number in range(len(completions))]


class Harm(TrainerCallback):
    """Turns the learning rate harmful after some steps, and keeps the weights that each step left.

    At the end it puts other weights into the model, as a trainer does that loads what it takes for its best checkpoint.
    """

    def __init__(self, after):
        self.after, self.weights = after, {}

    def on_step_end(self, args, state, control, model=None, optimizer=None, **_):
        self.weights[state.global_step] = torch.cat([p.detach().flatten() for p in model.parameters()])
        for group in optimizer.param_groups:
            group["lr"] = HARMFUL if state.global_step >= self.after else group["lr"]

    def on_train_end(self, args, state, control, model=None, **_):
        for weight in model.parameters():
            weight.data.zero_()


def train(folder, callback=None, harm=None, steps=4, config=None, **options):
    trainer = build(GRPOTrainer, folder, rewards=noise, config={"max_steps": steps} | SMALL | (config or {}), **options)
    if harm is not None:
        trainer.add_callback(harm)
    if callback is not None:
        callback.attach(trainer)
    trainer.train()
    return trainer


def test_a_logged_audit_leaves_the_run_bit_for_bit_unchanged(tmp_path):
    untrained = weights_of(build(GRPOTrainer, tmp_path))
    plain = train(tmp_path / "plain", steps=3)
    state = torch.get_rng_state()
    assert not torch.equal(weights_of(plain), untrained)
    watch = audit(every=2)
    watched = train(tmp_path / "watched", watch, steps=3)
    assert torch.equal(weights_of(plain), weights_of(watched))
    assert torch.equal(torch.get_rng_state(), state)
    assert watched.model.training

    def losses(trainer):
        return [(row["step"], row["loss"], row["reward"]) for row in trainer.state.log_history if "loss" in row]

    assert losses(watched) == losses(plain)  # the audit's row took nothing out of TRL's
    logged = [row for row in watched.state.log_history if "audit/lost" in row]
    assert [row["step"] for row in logged] == [record["step"] for record in watch.history] == [0, 2, 3]
    assert logged[0]["audit/worst_change"] == 0
    for row, record in zip(logged, watch.history, strict=True):
        assert set(record["domains"]) == {"add", "sub", "all"}
        for name, domain in record["domains"].items():
            assert row[f"audit/{name}/accuracy"] == domain["accuracy"]
            assert row[f"audit/{name}/change"] == pytest.approx(domain["accuracy"] - domain["before"])
    lines = (tmp_path / "watched" / HISTORY).read_text().splitlines()
    assert [json.loads(line) for line in lines] == watch.history
    assert 0.5 < watch.history[0]["domains"]["all"]["accuracy"] < 1


def test_the_same_weights_give_the_same_answers(tmp_path):
    watch = audit(every=1)
    train(tmp_path, watch, steps=2, config={"learning_rate": 0.0})
    first, *others = [record["rates"] for record in watch.history]
    assert others == [first, first]
    assert len(set(first.values())) > 1


@pytest.mark.parametrize("on_loss", ["log", "stop"])
def test_a_reward_that_destroys_the_model_is_noticed(tmp_path, caplog, on_loss):
    watch = audit(on_loss=on_loss)
    trainer = train(tmp_path, watch, config={"learning_rate": HARMFUL})
    assert trainer.state.global_step == (2 if on_loss == "stop" else 4)
    assert [bool(record["lost"]) for record in watch.history] == [False, True, True][: 2 if on_loss == "stop" else 3]
    record = watch.history[1]
    assert record["domains"]["all"]["accuracy"] < record["domains"]["all"]["before"] - 0.5
    [said, *_] = [line for line in caplog.records if "step 2: accuracy on" in line.message]
    assert said.levelno == (logging.ERROR if on_loss == "stop" else logging.WARNING)
    assert f"fell from {record['domains']['add']['before']:.3f} to" in said.message


def test_restore_ends_with_the_weights_of_the_last_good_look(tmp_path):
    harm, watch = Harm(after=2), audit(on_loss="restore")
    trainer = train(tmp_path / "run", watch, harm, steps=6)
    assert [(record["step"], bool(record["lost"])) for record in watch.history] == [(0, False), (2, False), (4, True)]
    assert trainer.state.global_step == 4
    assert torch.equal(weights_of(trainer), harm.weights[2])
    assert not torch.equal(harm.weights[2], harm.weights[4])
    assert not trainer.optimizer.state
    assert watch._good == {}


def test_of_an_adapted_model_the_adapter_is_kept_and_restored(tmp_path):
    peft = pytest.importorskip("peft")
    harm, watch, kept = Harm(after=0), audit(on_loss="restore"), {}
    keep = watch._keep
    watch._keep = lambda model: (keep(model), kept.update(watch._good))
    config = {"learning_rate": 1.0, "gradient_checkpointing": True}
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=True)
    trainer = train(tmp_path / "run", watch, harm, config=config, peft_config=adapter)
    assert [bool(record["lost"]) for record in watch.history] == [False, True]
    weights = dict(trainer.model.named_parameters())
    assert kept.keys() == {name for name in weights if "lora_" in name}
    assert all(torch.equal(weights[name], value) for name, value in kept.items())
    assert all(not weights[name].any() for name in kept if "lora_B" in name)  # as before the first step


def test_a_fault_of_the_first_look_leaves_the_run_alone(tmp_path, caplog):
    said = [{"role": "user", "content": "2+2?"}]
    chat = [Item(name, said, "4", "sums") for name in "ab"]  # the tokenizer has no template
    watch = audit(suite=chat, on_loss="restore", every=1)
    trainer = train(tmp_path, watch, steps=2)
    assert trainer.state.global_step == 2
    assert (watch.faults, watch.history) == (1, [])
    assert [row["audit/faults"] for row in trainer.state.log_history if "audit/faults" in row] == [1]
    assert "row 0: the model's chat template does not take the messages" in caplog.text
    assert "this run is not audited" in caplog.text


def test_faults_on_the_way_are_logged_once_and_counted(tmp_path, caplog, monkeypatch):
    asked, ask = [], Questions.ask

    def moody(self, engine, pool):
        asked.append(1)
        if len(asked) in (2, 3):
            raise RuntimeError("out of memory")
        return ask(self, engine, pool)

    monkeypatch.setattr(Questions, "ask", moody)
    watch = audit(every=1)
    trainer = train(tmp_path, watch, steps=3)
    assert [record["step"] for record in watch.history] == [0, 3]
    assert [row["audit/faults"] for row in trainer.state.log_history if "audit/faults" in row] == [1, 2]
    assert caplog.text.count("an audit failed") == 1


def test_a_resumed_run_is_compared_with_its_first_step(tmp_path, caplog):
    config = {"save_strategy": "steps", "save_steps": 1, "learning_rate": HARMFUL}
    first = audit(every=1)
    train(tmp_path, first, steps=2, config=config)
    for found in (True, False):
        watch, trainer = (
            audit(every=1),
            build(GRPOTrainer, tmp_path, rewards=noise, config=config | SMALL | {"max_steps": 2}),
        )
        watch.attach(trainer)
        with (tmp_path / HISTORY).open("a") as file:
            file.write('{"step": 2, "half')  # where the run was killed
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
        assert [record["step"] for record in watch.history] == [1, 2]
        before = watch.history[0]["domains"]["all"]["before"]
        start = first.history[0] if found else watch.history[0]
        assert before == start["domains"]["all"]["accuracy"]
        assert ("does not know these questions" in caplog.text) == (not found)
        lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
        assert lines == (first.history if found else []) + watch.history
        (tmp_path / HISTORY).unlink()


def test_any_trainer_of_transformers_can_be_audited(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    encoded = [tokenizer(row["prompt"])["input_ids"] for row in ROWS]
    options = {"max_steps": 2, "per_device_train_batch_size": 1, "learning_rate": HARMFUL, "report_to": "none"}
    trainer = Trainer(
        AutoModelForCausalLM.from_pretrained(TINY),
        TrainingArguments(str(tmp_path), use_cpu=True, save_strategy="no", disable_tqdm=True, **options),
        train_dataset=[{"input_ids": ids, "labels": ids} for ids in encoded],
        processing_class=tokenizer,
    )
    watch = audit(on_loss="stop", every=1).attach(trainer)
    trainer.train()
    assert trainer.state.global_step == len(watch.history) - 1 == 1 + (not watch.history[1]["lost"])
    assert watch.history[-1]["lost"]


def test_without_a_trainer_audits_reach_the_log_history(tmp_path, caplog):
    watch = audit(every=1)
    trainer = train(tmp_path, steps=1, callbacks=[watch])
    assert [row["step"] for row in trainer.state.log_history if "audit/lost" in row] == [0, 1]
    assert "attach(trainer) was not called" in caplog.text


def train_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    watch, harm = audit(on_loss="restore"), Harm(after=2)
    trainer = train(folder, watch, harm, config={"per_device_train_batch_size": 4})
    seen = {"weights": weights_of(trainer), "good": harm.weights[2], "step": trainer.state.global_step}
    torch.save(seen | {"history": watch.history, "processes": watch._pool}, f"{folder}/{rank}.pt")


def test_two_ranks_decide_as_one_and_restore_the_same(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(train_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    assert first["history"] == second["history"]
    assert first["step"] == second["step"] == 4
    assert first["history"][-1]["lost"]
    assert len((tmp_path / HISTORY).read_text().splitlines()) == len(first["history"]) == 3  # one rank asked and wrote
    for seen in (first, second):
        assert torch.equal(seen["weights"], first["good"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every": 0}, "every: expected at least 1 step, got 0"),
        ({"n": 0}, "n: expected at least one rollout"),
        ({"tolerance": -0.1}, "tolerance: expected"),
        ({"confidence": 1.0}, "confidence: expected"),
        ({"on_loss": "panic"}, "on_loss: expected one of log, stop, restore, got 'panic'"),
        ({"sampling": Sampling(temperature=0)}, "temperature 0 draws the same completion 2 times"),
        ({"suite": [Item("a", "?", "x", "d", variant="abstain")]}, "got 0 in 1 items"),
        ({"suite": "no/such/suite.jsonl"}, "no/such/suite.jsonl"),
    ],
)
def test_bad_settings_are_named(options, told):
    with pytest.raises(InputError, match=told):
        audit(**options)


def test_the_builtin_suite_and_its_verifier_are_there_to_be_had():
    watch = AuditCallback()
    assert len({item.domain for item in watch.questions.items}) > 1
    assert {item.variant for item in watch.questions.items} == {"plain"}


@pytest.mark.parametrize("name", ["ds_id", "device_mesh"])
def test_sharded_weights_are_refused_before_anything_waits(name):
    model = torch.nn.Linear(1, 1)
    check_weights(model, "restore")
    setattr(model.weight, name, 1)
    with pytest.raises(InputError, match="sharded over the processes"):
        check_weights(model, "log")


@pytest.mark.parametrize(("kind", "refused"), [("FSDP", ["log", "restore"]), ("DEEPSPEED", ["restore"])])
def test_kinds_of_training_that_cannot_be_restored_are_refused(monkeypatch, kind, refused):
    monkeypatch.setattr(trl_audit, "PartialState", lambda: SimpleNamespace(distributed_type=DistributedType[kind]))
    for on_loss in ("log", "restore"):
        if on_loss in refused:
            with pytest.raises(InputError, match="AuditCallback"):
                check_weights(torch.nn.Linear(1, 1), on_loss)
        else:
            check_weights(torch.nn.Linear(1, 1), on_loss)


def test_questions_are_the_plain_answerable_ones_each_once():
    def make(name, **options):
        return Item(name, name, "1", "d", **options)

    suite = [make("a"), make("b", variant="confidence"), make("c", answerable=False), make("a"), make("d")]
    questions = Questions.choose(suite, 2)
    assert [item.id for item in questions.items] == ["a", "d"]
    assert questions.key == Questions.choose([make("a"), make("d")], 2).key
    assert questions.key != Questions.choose([make("a"), make("d")], 3).key


def test_what_could_not_be_asked_or_judged_has_no_rate():
    class Moody(Exact):
        def score(self, completion, problem):
            return math.nan if completion == "answer 9" else super().score(completion, problem)

    class Refusing(FakeEngine):
        def generate(self, requests, sampling):
            for request, generations in super().generate(requests, sampling):
                yield request, [] if request.problem.id == "c" else generations

    items = [Item(name, name, "1", "d") for name in "abc"]
    said = {"a": ["answer 1", "answer 9", "answer 2"], "b": ["answer 9"] * 3, "c": ["answer 1"] * 3}
    with VerifierPool(Moody(), workers=1) as pool:
        rates = Questions.choose(items, 3).ask(Refusing(lambda text, number: said[text][number]), pool)
    assert rates["a"] == 0.5
    assert math.isnan(rates["b"])
    assert math.isnan(rates["c"])


def test_more_looks_ask_for_surer_losses_and_unknown_numbers_are_null(tmp_path):
    items = [Item(str(number), "?", "1", "one" if number < 16 else "two") for number in range(32)]
    questions = Questions.choose(items, 1)
    before = dict.fromkeys((item.id for item in items), 1.0)
    after = before | {str(number): 0.0 for number in range(5)} | {str(number): math.nan for number in range(16, 32)}
    verdicts = {
        looks: [row.verdict for row in questions.compare(before, after, 0.1, 0.95, looks)] for looks in (1, 100)
    }
    assert verdicts[1] == ["lost", "too few", "lost"]
    assert verdicts[100][0] == "too few"
    record = record_look(0, questions.key, after, questions.compare(before, after, 0.1, 0.95, 1))
    assert record["lost"] == ["one", "all"]
    assert record["domains"]["two"]["change"] is None
    path = tmp_path / HISTORY
    path.write_text(json.dumps(record, allow_nan=False) + "\n" + json.dumps(record | {"step": 5}) + '\n{"step": 0, "su')
    found = read_baseline(path, questions.key)
    assert found == pytest.approx(after, nan_ok=True)
    assert read_baseline(path, "another") is None
