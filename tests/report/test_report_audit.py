"""The report on an audit: what it says without scripts, what it draws with them, and that nothing in it can run."""

import copy
import dataclasses
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
from audit_records import (
    DISTANCES,
    HOSTILE,
    PASS,
    make_bare_record,
    make_comparison,
    make_hostile_record,
    make_record,
    make_row,
)
from report_runs import read_data

from rlguard.audit import coverage, distance, retention
from rlguard.audit.paired import compare_figures
from rlguard.audit.samples import Item, Sample
from rlguard.report import write_report
from rlguard.report.audits import LISTED, say_comparison, say_crossing, say_turned, say_unmeasured
from rlguard.types import InputError, Rollout


def write(record: dict, folder: Path) -> Path:
    """The report on a folder that holds this audit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "audit.json").write_text(json.dumps(record))
    write_report(folder, folder / "report.html")
    return folder / "report.html"


def read_text(page: Path) -> str:
    """What stands in the page without scripts, as text."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def say_figures(comparison: dict) -> dict[str, str]:
    """What is said of the figures with each verdict, by verdict, with its count."""
    lines = [line for line in say_comparison(comparison) if line[0].split()[0].isdigit() and "/" not in line[0]]
    return {figure.partition(" ")[2]: f"{figure.partition(' ')[0]} {sentence}" for figure, sentence in lines}


def test_the_verdict_is_told_in_words_losses_first(tmp_path):
    record = make_record()
    rows = {(row["name"], row["domain"]): row for row in record["comparisons"][0]["rows"]}
    rows["accuracy", "arithmetic"] |= {"before": 0.62, "after": 0.11, "change": -0.51, "low": -0.59, "high": -0.43,
                                       "verdict": "lost"}  # fmt: skip
    record["settings"]["trained"] = ["What is 2 + 2?"] * 1000
    text = read_text(write(record, tmp_path))
    assert len(text) < 10_000
    said = "accuracy on arithmetic −0.51 (−0.59 to −0.43);"
    assert said in text
    audit = text[text.index("Audit checkpoint-300") :]
    words = (" lost of 31 figures:", " too few of 31 figures")
    places = [audit.index(word) for word in (*words, "distance From distance 0", "coverage The curve after")]
    assert places == sorted(places)
    assert "audit.settings.tolerance 0.05" in text


def test_losses_and_what_is_too_few_are_counted():
    comparison = make_comparison("m")
    said = say_figures(comparison)
    verdicts = [row["verdict"] for row in comparison["rows"]]
    assert {verdict: int(words.split()[0]) for verdict, words in said.items()} == {
        verdict: verdicts.count(verdict) for verdict in ("lost", "too few")
    }
    assert said["lost"].count("; ") == 8  # 8 are named
    assert said["lost"].endswith(" more.")
    assert said["lost"].partition(": ")[2].startswith("accuracy ")
    assert "too few questions to tell" in said["too few"]


def test_without_a_loss_nothing_more_is_claimed_than_is_known():
    comparison = make_comparison("m")
    kept = [row | {"verdict": "kept"} for row in comparison["rows"]]
    assert say_figures(comparison | {"rows": kept})["lost"] == "0 of 31 figures."
    kept[0]["verdict"] = "too few"
    assert say_figures(comparison | {"rows": kept})["too few"].startswith("1 of 31 figures, too few questions to tell:")
    assert say_comparison(comparison | {"rows": []}) == [
        ("0 lost", "Nothing was compared: the two models share no figure.")
    ]


def test_too_few_questions_say_how_many_would_do():
    row = {"group": "retention", "name": "accuracy", "domain": "logic", "verdict": "too few", "before": 0.5}
    row |= {"after": 0.5, "change": 0.0, "low": -0.1, "high": 0.1, "tolerance": 0.05, "questions": 50}
    assert say_figures({"rows": [row]})["too few"].endswith("Up to 200 questions a figure would do.")
    bare = {name: value for name, value in row.items() if name != "questions"}
    assert say_figures({"rows": [bare]})["too few"].endswith("accuracy on logic.")


def test_questions_that_turned_are_told_apart_from_luck():
    turned = {"lost": [{"probability": 0.2}, {"probability": 0.04}], "newly_solved": [{"probability": 0.05}]}
    assert say_turned(turned) == (
        "2 questions solved before and never after; 1 never before and solved after. "
        "Luck alone is unlikely (under 5%) in 1 and 0."
    )
    assert "Luck" not in say_turned({"lost": [], "newly_solved": []})


def test_small_changes_keep_their_digits():
    row = make_row("retention", "accuracy", "logic", 1, 9, False, 0.5, -0.004, 0.001) | {"verdict": "lost"}
    assert "accuracy on logic −0.0040 (−0.0050 to −0.0030)." in say_figures({"rows": [row]})["lost"]


@pytest.mark.parametrize(
    ("afters", "k", "expected"),
    [
        (
            [0.6, 0.4],
            2,
            "starts above the one before and is below it from k = 2; pass@2 is 0.50 before and 0.40 after. 50%",
        ),
        ([0.4, 0.5], None, "nowhere above the one before"),
        ([0.6, 0.5], None, "does not fall from above to below"),
        ([], None, "Coverage was not measured."),
    ],
)
def test_the_crossing_is_told(afters, k, expected):
    rows = [
        make_row("coverage", f"pass@{2**i}", "all", 1, 9, False, 0.5, after - 0.5, 0.1)
        for i, after in enumerate(afters)
    ]
    assert expected in say_crossing({"rows": rows, "crossing": {"k": k, "probability": 0.5}})


def test_what_was_not_measured_is_told(tmp_path):
    record = make_record(["a", "b"])
    for comparison in record["comparisons"]:
        comparison["rows"] = [row for row in comparison["rows"] if row["group"] != "format"]
    said = ["base: scores was not measured: no weights here: the model is behind a server.",
            "No figure that both models have: format."]  # fmt: skip
    assert say_unmeasured(record) == said
    assert all(words in read_text(write(record, tmp_path)) for words in said)


def test_a_record_of_the_measures_themselves_makes_a_page(tmp_path):
    rng = np.random.default_rng(0)

    def sample(rate, domain, number):
        item = Item(f"{domain}{number}", f"{domain}?", "4", domain)
        outcomes = rng.random(8) < rate
        return Sample(item, [Rollout(item.id, i, "4", float(x), "4", 1, "stop") for i, x in enumerate(outcomes)])

    domains = {"near": 0.0, "far": 0.6, "farther": 0.9}
    before, after = ([sample(rate, d, i) for d in domains for i in range(30)] for rate in (0.6, 0.2))
    measured = [[*retention.figures(samples), *coverage.figures(samples, 8)] for samples in (before, after)]
    rows = compare_figures(*measured, resamples=500)
    comparison = {
        "name": "after",
        "rows": [dataclasses.asdict(row) for row in rows],
        "cliff": dataclasses.asdict(distance.fit_cliff(rows, domains)),
        "crossing": dataclasses.asdict(coverage.find_crossing(before, after, 8, resamples=50)),
        "newly_solved": [],
        "lost": [
            dataclasses.asdict(change) | {"domain": "near", "prompt": "near?", "answer": "4"}
            for change in coverage.newly_solved(after, before)
        ],
    }
    record = make_bare_record() | {"comparisons": [comparison], "settings": {"tolerance": 0.05, "confidence": 0.95}}
    page = write(record, tmp_path)
    text = read_text(page)
    assert "accuracy over all domains −0." in text
    assert "The curve after training is nowhere above the one before" in text
    assert f"{len(comparison['lost'])} question" in text
    assert [len(curve) for curve in read_data(page)["audit"]["coverage"]["curves"]] == [4, 4]


def test_what_the_plots_show(tmp_path):
    names = ["checkpoint-100", "checkpoint-200"]
    audit = read_data(write(make_record(names), tmp_path))["audit"]
    ((last),) = audit["distances"]
    assert (last["name"], [point["domain"] for point in last["points"]]) == ("checkpoint-200", list(DISTANCES))
    assert audit["coverage"]["arms"] == ["before", *names]
    assert audit["coverage"]["curves"][0] == [[2**i, before] for i, (before, _) in enumerate(PASS)]
    assert audit["coverage"]["curves"][2] == [[2**i, pytest.approx(after)] for i, (_, after) in enumerate(PASS)]
    trends = {metric["name"]: metric["curves"] for metric in audit["trends"]["metrics"]}
    assert len(trends) == 31
    assert trends["pass@4"] == [[[0, 0.69], [100, pytest.approx(0.695)], [200, pytest.approx(0.7)]]]
    assert read_data(write(make_record(), tmp_path / "one"))["audit"]["trends"] is None


def test_two_audits_are_told_apart(tmp_path):
    for name in ("one", "two"):
        write(make_record(), tmp_path / name)
    write_report(tmp_path / "one", tmp_path / "r.html", against=tmp_path / "two")
    audit = read_data(tmp_path / "r.html")["audit"]
    names = ["one: checkpoint-300", "two: checkpoint-300"]
    assert {row["model"] for row in audit["rows"]} == {*names}
    assert [one["name"] for one in audit["distances"]] == names
    assert "one: checkpoint-300" in read_text(tmp_path / "r.html")


def test_questions_that_turned_are_bounded_and_counted_in_full(tmp_path):
    record = make_record()
    many = [record["comparisons"][0]["lost"][0] | {"id": f"q{i}"} for i in range(LISTED + 5)]
    record["comparisons"][0] |= {"lost": copy.deepcopy(many), "newly_solved": []}
    page = write(record, tmp_path)
    assert len(read_data(page)["audit"]["turned"]) == LISTED
    assert "1005 questions solved before and never after" in read_text(page)


@pytest.mark.parametrize("missing", [None, {}])
def test_missing_parts_are_told(missing, tmp_path):
    row = make_row("retention", "accuracy", "logic", 1, 9, False, 0.5, 0.0, 0.01)
    comparison = {"name": "m", "rows": [row], "cliff": None, "crossing": missing, "newly_solved": None, "lost": None}
    record = dict.fromkeys(make_bare_record()) | {"before": "base", "settings": missing, "comparisons": [comparison]}
    text = read_text(write(record, tmp_path))
    for words in ("distance from training is not known", "Coverage was not measured", "0 questions solved before"):
        assert words in text
    assert "No model was compared." in read_text(write(make_bare_record(), tmp_path / "bare"))


def test_text_of_models_and_suites_stays_text(tmp_path):
    path = write(make_hostile_record(), tmp_path)
    page = path.read_text()
    assert page.count("<script") == page.count("</script>")
    assert "<img" not in page
    assert HOSTILE in read_text(path)
    audit = read_data(path)["audit"]
    assert sum(row["model"] == "a" for row in audit["rows"]) == 200
    assert max(len(change["prompt"]) for change in audit["turned"]) == 2000


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda audit: audit | {"domains": "sums"}, "domains: expected an object, got 'sums'"),
        (lambda audit: audit | {"comparisons": [[]]}, "comparisons 0: expected an object"),
        (lambda audit: audit["comparisons"][0].pop("name") and audit, "comparisons 0: name: expected text, got None"),
        (lambda audit: audit["comparisons"][0]["crossing"].update(probability="high") or audit, "expected a number"),
        (
            lambda audit: audit["comparisons"][0]["rows"][2].update(verdict="fine") or audit,
            "rows 2: verdict: expected one",
        ),
    ],
)
@pytest.mark.parametrize("name", ["audit.json", "other.json"])
def test_a_damaged_audit_is_refused_by_the_part_that_is_damaged(tmp_path, spoil, said, name):
    (tmp_path / name).write_text(json.dumps(spoil(make_record())))
    with pytest.raises(InputError, match=said):
        write_report(tmp_path if name == "audit.json" else tmp_path / name, tmp_path / "report.html")


@pytest.mark.parametrize("rows", [[], [{"verdict": "too few"}]])
def test_an_audit_that_could_tell_nothing_is_not_healthy(tmp_path, rows):
    record = make_record()
    known = record["comparisons"][0]["rows"]
    record["comparisons"][0]["rows"] = [row | rows[0] for row in known] if rows else []
    (tmp_path / "audit.json").write_text(json.dumps(record))
    (said,) = write_report(tmp_path, tmp_path / "report.html")["headlines"]
    assert said.startswith("audit: Unknown, because no audited figure had enough questions to tell")


def test_a_figure_of_coverage_without_a_k_is_listed_and_not_drawn(tmp_path):
    record = make_record()
    record["comparisons"][0]["rows"].append(make_row("coverage", "pass@many", "all", 1, 9, False, 0.5, 0.0, 0.1))
    assert "pass@many" in read_text(write(record, tmp_path)) + (tmp_path / "report.html").read_text()
