"""The matrix of transfer: what it says, what it refuses, and that it survives JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rlguard.order.transfer import Transfer, backward_transfer, read_transfer, write_transfer
from rlguard.types import InputError


def make(seed=0, domains=3, questions=20, trainings=2):
    rng = np.random.default_rng(seed)
    names = tuple(f"d{i}" for i in range(domains))
    before = tuple(rng.integers(0, 5, questions) / 4 for _ in names)
    after = tuple(rng.integers(0, 5, (trainings, domains, questions)) / 4 for _ in names)
    return Transfer(names, before, after, rng.normal(size=domains))


def test_means_and_changes_agree_with_plain_loops():
    found = make()
    for i in range(3):
        assert found.before_D[i] == pytest.approx(np.mean(found.before[i]))
        for j in range(3):
            changes = [found.after[i][t][j][q] - found.before[i][q] for t in range(2) for q in range(20)]
            assert found.change_DD[i, j] == pytest.approx(np.mean(changes))
            assert found.after_DD[i, j] - found.before_D[i] == pytest.approx(found.change_DD[i, j])


def test_an_unscored_question_does_not_vote():
    nan = math.nan
    before = (np.array([0.0, nan, 1.0]), np.array([0.5, 0.5]))
    after = (np.array([[[1.0, 1.0, nan], [0.0, 0.0, 0.0]]]), np.array([[[0.5, nan], [1.0, 1.0]]]))
    found = Transfer(("a", "b"), before, after)
    assert found.change_DD.tolist() == [[1.0, -0.5], [0.0, 0.5]]
    assert np.isfinite(found.draw_changes(50)).all()


def test_intervals_cover_the_true_change_about_as_often_as_they_say():
    rng, covered = np.random.default_rng(0), []
    for seed in range(100):
        before, truth = rng.uniform(0.3, 0.7, (2, 30)), np.array([[0.2, -0.2], [0.0, 0.1]])
        after = [rng.binomial(4, before[i] + truth[i][:, None]) / 4 for i in range(2)]
        found = Transfer(("a", "b"), tuple(rng.binomial(4, before) / 4), tuple(one[None] for one in after))
        low, high = found.intervals(0.9, seed)
        covered.append((low <= truth) & (truth <= high))
    assert 0.84 < np.mean(covered) < 0.96


def test_two_trainings_that_disagree_widen_the_interval_and_one_knows_nothing_of_it():
    questions = np.full(20, 0.5)
    apart = np.stack([np.stack([questions, questions + 0.4]), np.stack([questions, questions - 0.4])])
    same = np.stack([np.stack([questions, questions])] * 2)
    noisy = Transfer(("a", "b"), (questions, questions), (apart, same))
    calm = Transfer(("a", "b"), (questions, questions), (apart[:1], same[:1]))
    widths = [np.subtract(*found.intervals()[::-1])[0, 1] for found in (noisy, calm)]
    assert widths[0] > 0.5 > 0.01 > widths[1]
    assert math.isnan(calm.training_variance)
    assert noisy.training_variance == pytest.approx(np.mean([0.32, 0.0]))


def test_json_gives_back_the_same(tmp_path):
    found = make()
    found.before[1][0] = math.nan
    write_transfer(found, tmp_path / "t.json")
    again = read_transfer(tmp_path / "t.json")
    assert again.to_record() == found.to_record()
    np.testing.assert_allclose(again.draw_changes(20, 3), found.draw_changes(20, 3), atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]


def test_entropy_may_be_unknown():
    record = make().to_record()
    del record["entropy_change"]
    assert np.isnan(Transfer.from_record(record).entropy_change_D).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.pop("before"), "'before' is missing"),
        (lambda r: r["after"].pop("d1"), "'d1' is missing"),
        (lambda r: r.update(domains=["d0"]), "two or more distinct domains"),
        (lambda r: r.update(domains=["d0", "d0", "d1"]), "two or more distinct domains"),
        (lambda r: r["before"].update(d0=[0.5] * 19), "19 before and"),
        (lambda r: r["before"].update(d0=[0.5] * 19 + [1.5]), "d0: expected pass rates from 0 to 1"),
        (lambda r: r["before"].update(d0=[None] * 20), "no held-out question is scored"),
        (lambda r: r["before"].update(d0="half"), "not a matrix of transfer"),
        (lambda r: r["before"].update(d0=0.5), "not a matrix of transfer"),
        (lambda r: r["before"].update(d0=[[0.5] * 20]), "d0: expected rates"),
        (lambda r: r["after"]["d0"].pop(), "the same number of trainings"),
        (lambda r: r["after"]["d0"][0].pop(), "not a matrix of transfer"),
        (lambda r: r["after"].update({name: [] for name in r["after"]}), "d0: expected rates"),
        (lambda r: r.update(entropy_change=[0.1]), "expected 3 entropy changes"),
    ],
)
def test_what_is_no_matrix_is_refused_by_name(tmp_path, change, words):
    record = make().to_record()
    change(record)
    (tmp_path / "t.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=words) as error:
        read_transfer(tmp_path / "t.json")
    assert "t.json" in str(error.value)


def test_a_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "t.json").write_text("{")
    for path in (tmp_path / "t.json", tmp_path / "absent.json"):
        with pytest.raises(InputError, match=str(path)):
            read_transfer(path)
    (tmp_path / "t.json").write_text("[1]")
    with pytest.raises(InputError, match="expected a JSON object"):
        read_transfer(tmp_path / "t.json")


def test_backward_transfer_is_the_mean_change_since_each_tasks_own_stage():
    accuracy = [[0.8, 0.1, 0.1], [0.6, 0.9, 0.1], [0.5, 0.7, 0.9]]
    assert backward_transfer(accuracy) == pytest.approx(((0.5 - 0.8) + (0.7 - 0.9)) / 2)
    for wrong in ([[0.5]], [[0.5, 0.5]], [0.5, 0.5], []):
        with pytest.raises(ValueError, match="square"):
            backward_transfer(wrong)
