"""The schedule: one block a domain, in the planned order, and TRL keeps it."""

from __future__ import annotations

import json

import pytest

from rlguard.order.schedule import STAGE, group_rows, order_rows, write_schedule
from rlguard.tables.read import read_rows
from rlguard.types import InputError

ROWS = [
    {"prompt": f"{a}+{b} mod 10=?\n", "answer": str(a + b), "domain": "abc"[a % 3]} for a in range(6) for b in (1, 2)
]


@pytest.mark.parametrize("name", ["s.jsonl", "s.parquet"])
def test_blocks_in_order_every_row_once_shuffled_inside(tmp_path, name):
    card = write_schedule(ROWS, ["c", "a", "b"], tmp_path / name, seed=1)
    rows = read_rows(tmp_path / name)
    assert [row["domain"] for row in rows] == ["c"] * 4 + ["a"] * 4 + ["b"] * 4
    assert [row[STAGE] for row in rows] == [0] * 4 + [1] * 4 + [2] * 4
    plain = [{key: value for key, value in row.items() if key != STAGE} for row in rows]
    assert sorted(plain, key=str) == sorted(ROWS, key=str)
    assert [plain[i : i + 4] for i in (0, 4, 8)] != [[row for row in ROWS if row["domain"] == d] for d in "cab"]
    said = json.loads(card.read_text())
    assert [(one["domain"], one["rows"]) for one in said["stages"]] == [("c", 4), ("a", 4), ("b", 4)]
    assert "shuffle_dataset=False" in said["note"]


def test_the_seed_decides_and_a_blocks_order_does_not_hang_on_its_place():
    domains = group_rows(ROWS)
    one, again = (order_rows(domains, ["a", "b", "c"], seed=3) for _ in range(2))
    assert one == again
    assert one != order_rows(domains, ["a", "b", "c"], seed=4)
    other = order_rows(domains, ["c", "b", "a"], seed=3)
    assert [row["prompt"] for row in other[-4:]] == [row["prompt"] for row in one[:4]]


def test_epochs_go_through_a_block_again_before_the_next_one():
    rows = order_rows(group_rows(ROWS), ["b", "a", "c"], epochs=2)
    assert [row[STAGE] for row in rows] == [0] * 8 + [1] * 8 + [2] * 8
    first, second = ([row["prompt"] for row in rows[i : i + 4]] for i in (0, 4))
    assert sorted(first) == sorted(second)
    assert "stage" not in ROWS[0]


@pytest.mark.parametrize(
    ("rows", "order", "words"),
    [
        (ROWS, ["a", "b"], "expected an order of the domains a, b, c, each once, got a, b"),
        (ROWS, ["a", "b", "c", "d"], "got a, b, c, d"),
        (ROWS, ["a", "b", "b"], "got a, b, b"),
        ([*ROWS, {"prompt": "?", "domain": None}], ["a", "b", "c"], "row 12: expected the name of a domain"),
        ([{"prompt": "?", "domain": " "}], ["a"], "row 0: expected the name of a domain in 'domain', got ' '"),
        ([{"prompt": "?", "domain": "a", "stage": 1}], ["a"], "a column 'stage' already"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path, rows, order, words):
    with pytest.raises(InputError, match=words):
        write_schedule(rows, order, tmp_path / "s.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_no_epochs_are_refused():
    with pytest.raises(InputError, match="epochs"):
        order_rows(group_rows(ROWS), ["a", "b", "c"], epochs=0)


def test_a_nested_domain_column_and_domains_that_are_numbers():
    assert group_rows([{"info": {"level": 2}}, {"info": {"level": 10}}], "info.level").keys() == {"2", "10"}


def test_trl_trains_on_the_prompts_in_the_order_of_the_schedule(tmp_path):
    pytest.importorskip("trl")
    from conftest import TINY
    from datasets import load_dataset
    from tiny_reasoner.training import grpo_config
    from trl import GRPOTrainer

    write_schedule(ROWS, ["b", "c", "a"], tmp_path / "s.jsonl")
    seen = []

    def note(prompts, completions, stage, **_):
        seen.extend(zip(prompts, stage, strict=True))
        return [float(len(text)) for text in completions]

    trainer = GRPOTrainer(
        model=str(TINY),
        args=grpo_config(
            str(tmp_path / "trl"), 0, max_steps=-1, num_train_epochs=1, per_device_train_batch_size=8,
            num_generations=4, max_completion_length=4, shuffle_dataset=False,
        ),
        reward_funcs=note,
        train_dataset=load_dataset(
            "json", data_files=str(tmp_path / "s.jsonl"), split="train", cache_dir=str(tmp_path / "cache")
        ),
    )  # fmt: skip
    trainer.train()
    rows = read_rows(tmp_path / "s.jsonl")
    assert seen == [(row["prompt"], row["stage"]) for row in rows for _ in range(4)]
    assert [stage for _, stage in seen[::16]] == [0, 1, 2]
