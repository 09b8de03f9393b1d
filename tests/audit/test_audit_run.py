import dataclasses
import json
import random
import re

import pytest
from conftest import TINY
from typer.testing import CliRunner

import rlguard.cli.audit
import rlguard.cli.main
from rlguard.audit.run import AUDIT, PAGE, AuditSettings, ask_in_variants, expand_checkpoints, read_samples, run_audit
from rlguard.audit.suite import make_item, read_suite, vary
from rlguard.cli.main import app
from rlguard.engines import load_engine
from rlguard.types import Generation, InputError, Sampling

SUMS = [f"{a} + {b}" for a in range(2, 10) for b in range(2, 10)]
ITEMS = [
    make_item({"prompt": f"{domain}: what is {text}?", "answer": eval(text), "domain": domain})
    for domain in ("counting", "shopping")
    for text in SUMS
]
RATES = {"base": {"counting": 0.7, "shopping": 0.9}, "tuned": {"counting": 0.99, "shopping": 0.2}}
TAKING = AuditSettings(n=4, scored=0, truncated=0)


class Answering:
    """Solves a share of each domain's rollouts, by `RATES`."""

    def __init__(self, model, rates=RATES):
        self.model, self.rates, self.asked = model, rates[model], 0

    def describe(self):
        return {"name": "fake", "model": self.model}

    def generate(self, requests, sampling):
        while (request := next(requests, None)) is not None:
            self.asked += 1
            yield request, [self.answer(request.problem, request.first + i) for i in range(request.n)]

    def answer(self, problem, index):
        rate = self.rates[problem.text.partition(":")[0]]
        right = random.Random(f"{self.model}{problem.id}{index}").random() < rate
        answer = problem.answer if right else int(problem.answer) + 1
        return Generation(f"I count.\nThe answer is {answer}.", 6, "stop")


def audit(folder, items=ITEMS, load=Answering, after=("tuned",), **options):
    return run_audit("base", after, folder, items, settings=TAKING, load=load, **options)


def verdicts(comparison, name="accuracy"):
    return {row.domain: row.verdict for row in comparison.rows if row.name == name}


def test_a_loss_elsewhere_is_found_and_named(tmp_path):
    found = audit(tmp_path, trained=["counting"])
    (comparison,) = found.comparisons
    assert verdicts(comparison) == {"all": "lost", "counting": "gained", "shopping": "lost"}
    assert found.lost
    row = next(row for row in comparison.losses if row.domain == "shopping")
    assert row.low < row.change < row.high < -0.5
    assert {point.domain: point.distance for point in comparison.cliff.points}["counting"] == 0
    assert len(comparison.lost) > len(comparison.newly_solved) == 0


def test_what_is_written_is_json_with_provenance_and_a_page(tmp_path):
    audit(tmp_path)
    record = json.loads((tmp_path / AUDIT).read_text(), parse_constant=pytest.fail)
    assert [model["engine"]["model"] for model in record["models"]] == ["base", "tuned"]
    assert record["domains"] == {"counting": 64, "shopping": 64}
    (comparison,) = record["comparisons"]
    assert comparison["cliff"] is None  # nobody said what was trained on
    assert {"prompt", "answer", "domain", "bound"} <= comparison["lost"][0].keys()
    assert "shopping" in (tmp_path / PAGE).read_text()


def test_a_second_run_asks_nothing_and_finds_the_same(tmp_path):
    engines = []

    def load(model):
        engines.append(Answering(model))
        return engines[-1]

    first, again = audit(tmp_path, load=load), audit(tmp_path, load=load)
    assert [engine.asked > 0 for engine in engines] == [True, True, False, False]
    assert again == first


def test_another_suite_in_the_same_folder_is_refused(tmp_path):
    audit(tmp_path, ITEMS[:40])
    with pytest.raises(InputError, match="another suite: 40 questions there, 128 now, 40 in both"):
        audit(tmp_path)


@pytest.mark.parametrize(("items", "plain"), [(ITEMS[:1], 1), ([], 0), (vary(ITEMS[:3]), 0)])
def test_an_audit_of_one_question_is_refused_before_a_model_is_loaded(tmp_path, items, plain):
    with pytest.raises(InputError, match=f"expected 2 or more answerable questions.* got {plain}$"):
        audit(tmp_path, items, load=pytest.fail)
    assert not list(tmp_path.iterdir())


def test_more_rollouts_in_the_same_folder_are_scored_again(tmp_path):
    pytest.importorskip("transformers")
    model, items = (
        str(TINY),
        [make_item({"prompt": f"{a}+2 mod 9=?\n", "answer": a + 2, "domain": "x"}) for a in (1, 2)],
    )
    for n in (2, 3):
        settings = AuditSettings(n=n, scored=2, truncated=0, sampling=Sampling(24))
        run_audit(
            model, [model], tmp_path, items, settings=settings, load=lambda model: load_engine("transformers", model)
        )
        kept = json.loads((tmp_path / "models" / "model" / "scores.jsonl").read_text())["kept"]
        assert [len(scores) for scores in kept] == [n, n]


def test_a_rollout_that_stands_twice_in_a_store_counts_once(tmp_path):
    audit(tmp_path, ITEMS[:2])
    log = tmp_path / "models" / "base" / "rollouts.jsonl"
    samples = read_samples(ITEMS[:2], log.parent)
    log.write_text(log.read_text() * 2)
    assert read_samples(ITEMS[:2], log.parent) == samples
    assert [[rollout.index for rollout in sample.rollouts] for sample in samples] == [[0, 1, 2, 3]] * 2


def test_an_audit_prints_short_and_gives_a_table(tmp_path):
    found = audit(tmp_path)
    (comparison,) = found.comparisons
    assert (
        repr(found) == f"Audit against base: <tuned: {len(comparison.losses)} of {len(comparison.rows)} figures lost>"
    )
    table = pytest.importorskip("pandas") and found.to_pandas()
    assert list(table.columns[:4]) == ["model", "group", "name", "domain"]
    assert len(table) == len(comparison.rows)
    assert table[table.verdict == "lost"].name.tolist() == [row.name for row in comparison.losses]
    assert "<table" in found._repr_html_()


def test_the_same_model_twice_has_lost_nothing(tmp_path):
    (comparison,) = audit(tmp_path, after=["base"]).comparisons
    assert comparison.name == "base-2"
    assert {row.verdict for row in comparison.rows} <= {"kept", "too few"}
    assert verdicts(comparison)["all"] == "kept"  # 128 questions; the 64 of one domain can have missed more


def test_reasoning_is_cut_once_and_kept(tmp_path):
    taking = dataclasses.replace(TAKING, truncated=5)
    for _ in range(2):
        found = run_audit("base", ["tuned"], tmp_path, ITEMS[:30], settings=taking, load=Answering)
        rows = [row for row in found.comparisons[0].rows if row.name == "right with half of the reasoning"]
        assert len(rows) == 1


def test_a_model_without_weights_here_has_no_scores_and_says_so(tmp_path):
    taking = dataclasses.replace(TAKING, scored=1)
    found = run_audit("base", ["tuned"], tmp_path, ITEMS[:30], settings=taking, load=Answering)
    assert set(found.skipped) == {"base: scores", "tuned: scores"}
    assert "base" in found.skipped["base: scores"]


def test_a_confidence_that_is_none_is_refused_before_the_work(tmp_path):
    with pytest.raises(InputError, match=r"confidence: expected a number in \(0, 1\), got 95"):
        run_audit("before", ["after"], tmp_path / "out", confidence=95)
    assert not (tmp_path / "out").exists()


def test_checkpoints_stand_for_their_folder_by_step(tmp_path):
    for step in (100, 20):
        (tmp_path / "run" / f"checkpoint-{step}").mkdir(parents=True)
    names = [model.rpartition("/")[2] for model in expand_checkpoints([str(tmp_path / "run"), "org/other"])]
    assert names == ["checkpoint-20", "checkpoint-100", "other"]
    (tmp_path / "run" / "config.json").touch()  # then the folder is a model itself
    assert expand_checkpoints([str(tmp_path / "run")]) == [str(tmp_path / "run")]
    with pytest.raises(InputError, match="at least one model"):
        expand_checkpoints([])


def test_the_built_in_suite_is_asked_in_all_its_variants():
    pytest.importorskip("reasoning_gym")
    items = ask_in_variants(read_suite("builtin", 3, 0), 1, chat=True)
    assert len({item.domain for item in items}) >= 6
    assert {item.variant.partition(":")[0] for item in items} == {"plain", "confidence", "abstain", "prompt", "answer"}
    assert all(item.answerable or item.variant == "abstain" for item in items)
    assert all(item.prompt[0]["role"] == "user" for item in items)


def test_the_command_line_says_what_is_lost_and_fails(tmp_path, monkeypatch):
    suite = tmp_path / "mine.jsonl"
    suite.write_text("".join(json.dumps(item.row) + "\n" for item in ITEMS))
    monkeypatch.setattr("rlguard.engines.load_engine", lambda engine, model, **options: Answering(model))
    monkeypatch.setattr("rlguard.cli.audit.check_hub_name", lambda name, kind: None)
    flags = ["--suite", str(suite), "--out", str(tmp_path / "out"), "--n", "4", "--no-chat", "--varied", "0"]
    flags += ["--scored", "0", "--truncated", "0", "--trained", "counting"]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["audit", "base", "tuned", *flags])
    assert result.exit_code == 1, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    (line,) = [line for line in lines if line.startswith("accuracy on shopping ")]
    assert re.fullmatch(r"accuracy on shopping 0\.\d{3} 0\.\d{3} −0\.\d{3} −0\.\d{3} to −0\.\d{3} lost", line)
    assert any(re.match(r"\d+ lost, \d+ gained, ", line) for line in lines)
    assert "nan" not in result.output
    assert (
        CliRunner().invoke(app, ["audit", "base", "base", *flags[:3], str(tmp_path / "same"), *flags[4:]]).exit_code
        == 0
    )


def test_training_prompts_may_come_from_a_file(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"prompt": "counting: what is 2 + 2?"}\n{"q": "?"}\n')
    with pytest.raises(InputError, match="row 1 has no column 'prompt'"):
        rlguard.cli.audit._read_trained(str(path), "prompt", "builtin")
    assert rlguard.cli.audit._read_trained("facts, naming", "prompt", "builtin") == ["facts", "naming"]
