"""The page of an audit: what it says without scripts, what it draws with them, and that nothing in it can run."""

import copy
import dataclasses
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rlguard.audit import coverage, retention
from rlguard.audit.compare import Row, compare
from rlguard.audit.page import LISTED, fit_line, gather_data, render_page, write_page
from rlguard.audit.samples import Item, Sample
from rlguard.audit.wording import say_crossing, say_turned, say_unmeasured, say_verdict
from rlguard.types import InputError, Rollout

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">${data} 😀"
DISTANCES = {
    "arithmetic": 0.0, "algebra": 0.55, "number theory": 0.72, "word problems": 0.78, "lists": 0.82, "naming": 0.88,
    "facts": 0.9, "logic": 0.93, "code": 0.94, "time and units": 0.95, "letters": 0.96, "writing": 0.98,
}  # fmt: skip
OTHERS = [  # group, name, better, questions, relative, before, change, half width
    ("retention", "truncated completions", -1, 288, False, 0.021, 0.094, 0.03),
    ("retention", "completions without an answer", -1, 288, False, 0.034, 0.004, 0.02),
    ("calibration", "calibration error, agreement", -1, 264, False, 0.11, 0.17, 0.06),
    ("calibration", "AUROC, agreement", 1, 264, False, 0.81, -0.06, 0.07),
    ("calibration", "Brier score, sequence log-probability", -1, 264, False, 0.19, 0.02, 0.028),
    ("calibration", "abstains on unanswerable", 1, 40, False, 0.55, -0.31, 0.15),
    ("reasoning", "information gain, total", 1, 288, True, 3.42, -1.61, 0.7),
    ("reasoning", "correct answers without support", -1, 288, False, 0.12, 0.09, 0.08),
    ("reasoning", "right with half of the reasoning", -1, 32, False, 0.41, 0.22, 0.24),
    ("format", "accuracy, answer:boxed", 1, 96, False, 0.6, 0.03, 0.05),
    ("format", "accuracy lost to the format", -1, 96, False, 0.05, 0.0, 0.04),
    ("diversity", "token entropy", 0, 288, True, 0.62, -0.41, 0.05),
    ("diversity", "distinct answers", 1, 288, False, 0.38, -0.2, 0.04),
]  # fmt: skip
PASS = [(0.52, 0.63), (0.61, 0.67), (0.69, 0.70), (0.76, 0.72), (0.82, 0.74)]


def make_row(group, name, domain, better, questions, relative, before, change, half) -> dict:
    tolerance = 0.05 * (before if relative else 1)
    low, high = change - half, change + half
    verdict = "too few"
    if (low > 0 or high < 0) and abs(change) > tolerance:
        verdict = {-1: "lost", 0: "changed", 1: "gained"}[int(np.sign(change * better))]
    elif (better < 0 or low >= -tolerance) and (better > 0 or high <= tolerance):
        verdict = "kept"
    after = before + change
    return dataclasses.asdict(
        Row(group, name, domain, better, questions, before, after, change, low, high, tolerance, verdict)
    )


def make_change(number: int, prompt: str, rng) -> dict:
    successes = int(rng.integers(1, 9))
    return {
        "id": f"q{number}", "failures": 16, "successes": successes, "trials": 16, "bound": 0.206,
        "probability": 0.2**successes, "domain": list(DISTANCES)[number % 12], "prompt": prompt, "answer": str(number),
    }  # fmt: skip


def make_comparison(name: str, share: float = 1.0, seed: int = 0) -> dict:
    """A model that gained near its training and lost far from it, `share` of the way."""
    rng = np.random.default_rng(seed)
    changes = {d: share * (0.22 - 0.55 * at + rng.normal(0, 0.05)) for d, at in DISTANCES.items()}
    rows = [make_row("retention", "accuracy", "all", 1, 288, False, 0.61, float(np.mean([*changes.values()])), 0.03)]
    rows += [
        make_row("retention", "accuracy", d, 1, 24, False, 0.61, change, 0.1 + 0.03 * (i % 3))
        for i, (d, change) in enumerate(changes.items())
    ]
    rows += [make_row(g, n, "all", b, q, r, v, share * c, h) for g, n, b, q, r, v, c, h in OTHERS]
    rows += [
        make_row("coverage", f"pass@{2**i}", "all", 1, 288, False, one, share * (other - one), 0.035)
        for i, (one, other) in enumerate(PASS)
    ]
    prompts = [
        f"Ada has {i} apples and gives {i // 3} away. How many are left?\nAnswer with a number." for i in range(40)
    ]
    known = [Row(**row) for row in rows]
    return {
        "name": name,
        "rows": rows,
        "cliff": dataclasses.asdict(retention.cliff(known, DISTANCES)),
        "crossing": {"k": 8, "probability": 0.93},
        "newly_solved": [make_change(i, prompts[i], rng) for i in range(14)],
        "lost": [make_change(i, prompts[i], rng) for i in range(14, 40)],
    }


def make_record(names=("checkpoint-300",)) -> dict:
    comparisons = [make_comparison(name, (i + 1) / len(names), i) for i, name in enumerate(names)]
    sampling = {"max_tokens": 512, "temperature": 1.0, "top_p": 1.0, "seed": 0}
    record = {
        "schema": 1, "rlguard": "0.1.0", "before": "base", "domains": dict.fromkeys(DISTANCES, 24),
        "models": [
            {"name": name, "model": f"out/{name}", "engine": {"name": "vllm", "version": "0.31"}, "sampling": sampling}
            for name in ("base", *names)
        ],
        "settings": {"questions": 24, "seed": 0, "trained": ["arithmetic"], "tolerance": 0.05, "confidence": 0.95,
                     "n": 16, "scored": 4, "truncated": 32, "sampling": sampling},
        "skipped": {"base: scores": "no weights here: the model is behind a server"},
        "comparisons": comparisons,
    }  # fmt: skip
    return json.loads(json.dumps(record))


def make_bare_record() -> dict:
    return {"schema": 1, "rlguard": "0.1.0", "before": "base", "models": [], "domains": {}, "settings": {},
            "skipped": {}, "comparisons": []}  # fmt: skip


def make_hostile_record() -> dict:
    """Two models with text that wants to run, 200 rows, a prompt of 20 kB and every null that `to_record` may make."""
    record = make_record(["a", HOSTILE])
    first, second = record["comparisons"]
    odd = first["rows"][1]
    first["rows"] = [odd | {"domain": f"{HOSTILE} {i}", "before": i / 200} for i in range(200)]
    first["rows"][0] |= dict.fromkeys(("before", "after", "change", "low", "high"))
    first["rows"][0]["verdict"] = "too few"
    first["rows"][1] |= {"low": None, "high": None, "verdict": "too few"}
    first["rows"][2] |= {"tolerance": 0.0, "before": 0.0, "group": HOSTILE, "name": HOSTILE}
    first |= {"cliff": None, "crossing": {"k": None, "probability": None}, "newly_solved": [], "lost": []}
    second["cliff"] |= {"slope": None, "low": None, "high": None, "sentence": HOSTILE}
    second["cliff"]["points"][0] |= {"domain": HOSTILE, "change": None, "low": None, "high": None}
    second["cliff"]["points"][1] |= {"domain": HOSTILE * 9, "low": None, "high": None}
    second["lost"][0] |= {"prompt": HOSTILE + "x" * 20_000, "answer": HOSTILE, "domain": HOSTILE}
    record["skipped"] = {HOSTILE: HOSTILE}
    record["domains"] = {HOSTILE: 3}
    record["settings"]["trained"] = [HOSTILE]
    return record


def write(record: dict, out: Path) -> str:
    write_page(record, out)
    return out.read_text()


def read_text(page: str) -> str:
    """What stands in the page without scripts, as text."""
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_the_verdict_is_told_in_words_losses_first(tmp_path):
    record = make_record()
    rows = {(row["name"], row["domain"]): row for row in record["comparisons"][0]["rows"]}
    rows["accuracy", "arithmetic"] |= {"before": 0.62, "after": 0.41, "change": -0.21, "low": -0.29, "high": -0.13,
                                       "verdict": "lost"}  # fmt: skip
    record["settings"]["trained"] = ["What is 2 + 2?"] * 1000
    text = read_text(write(record, tmp_path / "out" / "audit.html"))
    assert len(text) < 10_000
    said = "−0.21 Accuracy on arithmetic fell from 0.62 to 0.41, 95% interval −0.29 to −0.13."
    assert said in text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["audit.html"]
    places = [text.index(word) for word in (said, " gained of 31 figures.", " changed of 31", " kept ", " too few ")]
    assert places == sorted(places)


def test_every_row_is_told_in_its_part():
    comparison = make_comparison("m")
    parts = {part.verdict: part for part in say_verdict(comparison, {"confidence": 0.9})}
    verdicts = [row["verdict"] for row in comparison["rows"]]
    for verdict, part in parts.items():
        assert part.figure == f"{verdicts.count(verdict)} {verdict}"
    for verdict in ("lost", "gained", "changed"):
        assert len(parts[verdict].lines) == verdicts.count(verdict) > 0
    assert parts["lost"].lines[0][1].startswith("Accuracy over all domains fell from ")
    assert "90% interval" in parts["lost"].lines[0][1]
    assert "Truncated completions rose" in " ".join(line for _, line in parts["lost"].lines)
    assert len(parts["kept"].sentence.split(";")) == verdicts.count("kept") <= 8
    assert parts["too few"].sentence.startswith("Cannot be told with so few questions: ")


def test_without_a_loss_nothing_more_is_claimed_than_is_known():
    comparison = make_comparison("m")
    kept = [row | {"verdict": "kept"} for row in comparison["rows"]]
    lost, *_ = say_verdict(comparison | {"rows": kept}, {})
    assert (lost.figure, lost.sentence) == ("0 lost", "No figure has lost more than the tolerance.")
    assert 'class="part lost"' not in render_page(make_record() | {"comparisons": [comparison | {"rows": kept}]})
    kept[0]["verdict"] = "too few"
    lost, *_ = say_verdict(comparison | {"rows": kept}, {})
    assert lost.sentence.endswith("; 1 of 31 cannot be told.")
    (only,) = say_verdict(comparison | {"rows": []}, {})
    assert only.sentence.startswith("Nothing was compared")


def test_questions_that_turned_are_told_apart_from_luck():
    turned = {"lost": [{"probability": 0.2}, {"probability": 0.04}], "newly_solved": [{"probability": 0.05}]}
    assert say_turned(turned) == (
        "2 questions solved before and never after; 1 never before and solved after. "
        "Luck alone is unlikely (under 5%) in 1 and 0."
    )
    assert "Luck" not in say_turned({"lost": [], "newly_solved": []})


def test_small_changes_keep_their_digits():
    row = make_row("retention", "accuracy", "logic", 1, 9, False, 0.5, 0.004, 0.001) | {"verdict": "gained"}
    part = say_verdict({"rows": [row]}, {"confidence": 0.95})[1]
    assert part.lines == [("+0.004", "Accuracy on logic rose from 0.500 to 0.504, 95% interval +0.003 to +0.005.")]


@pytest.mark.parametrize(
    ("afters", "k", "expected"),
    [
        ([0.6, 0.4], 2, "first above the one before, is below it at k = 2; pass@2 is 0.50 before and 0.40 after. 50%"),
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


def test_what_was_not_measured_names_the_models_it_is_of():
    record = make_record(["a", "b"])
    record["comparisons"][0]["rows"] = [row for row in record["comparisons"][0]["rows"] if row["group"] != "format"]
    for comparison in record["comparisons"]:
        comparison["cliff"] = None
    assert say_unmeasured(record) == [
        ("base: scores", "no weights here: the model is behind a server"),
        ("format (a)", "no figure that both models have"),
        ("distance from training", "it is not known how far the domains are from what was trained on"),
    ]


def test_the_line_is_the_weighted_fit_of_the_points():
    cliff = make_comparison("m")["cliff"]
    distances, changes, lows, highs = np.array([[p[k] for k in ("distance", "change", "low", "high")]
                                                for p in cliff["points"]]).T  # fmt: skip
    slope, start = np.polyfit(distances, changes, 1, w=1 / (highs - lows))
    assert fit_line(cliff) == pytest.approx({"start": start, "slope": slope})
    assert fit_line(cliff | {"slope": None}) is None


def test_a_record_of_the_measures_themselves_makes_a_page(tmp_path):
    rng = np.random.default_rng(0)

    def sample(rate, domain, number):
        item = Item(f"{domain}{number}", f"{domain}?", "4", domain)
        outcomes = rng.random(8) < rate
        return Sample(item, [Rollout(item.id, i, "4", float(x), "4", 1, "stop") for i, x in enumerate(outcomes)])

    domains = {"near": 0.0, "far": 0.6, "farther": 0.9}
    before, after = ([sample(rate, d, i) for d in domains for i in range(30)] for rate in (0.6, 0.2))
    measured = [[*retention.figures(samples), *coverage.figures(samples, 8)] for samples in (before, after)]
    rows = compare(*measured, resamples=500)
    comparison = {
        "name": "after",
        "rows": [dataclasses.asdict(row) for row in rows],
        "cliff": dataclasses.asdict(retention.cliff(rows, domains)),
        "crossing": dataclasses.asdict(coverage.find_crossing(before, after, 8, resamples=50)),
        "newly_solved": [],
        "lost": [
            dataclasses.asdict(change) | {"domain": "near", "prompt": "near?", "answer": "4"}
            for change in coverage.lost(before, after)
        ],
    }
    record = make_bare_record() | {"comparisons": [comparison], "settings": {"tolerance": 0.05, "confidence": 0.95}}
    text = read_text(write(record, tmp_path / "a.html"))
    assert "Accuracy over all domains fell from 0." in text
    assert "The curve after training is nowhere above the one before" in text
    assert f"{len(comparison['lost'])} question" in text
    assert len(gather_data(record)["comparisons"][0]["coverage"]) == 4


def test_rows_of_any_unit_share_one_scale():
    rows = {row["name"]: row for row in gather_data(make_record())["comparisons"][0]["rows"]}
    assert rows["accuracy"]["unit"] == pytest.approx(1)
    assert rows["information gain, total"]["unit"] == pytest.approx(3.42)
    without = make_record()
    without["settings"]["tolerance"] = 0
    assert {row["unit"] for row in gather_data(without)["comparisons"][0]["rows"]} == {1.0}


def test_questions_are_bounded_and_stand_once():
    record = make_record(["a", "b"])
    many = [record["comparisons"][0]["lost"][0] | {"id": f"q{i}"} for i in range(LISTED + 5)]
    for comparison in record["comparisons"]:
        comparison |= {"lost": copy.deepcopy(many), "newly_solved": []}
    data = gather_data(record)
    assert [(len(c["turned"]["lost"]), c["totals"]["lost"]) for c in data["comparisons"]] == [(LISTED, LISTED + 5)] * 2
    assert len(data["questions"]) == LISTED
    assert "1005 questions solved before and never after" in read_text(render_page(record))


@pytest.mark.parametrize("missing", [None, {}])
def test_missing_parts_are_told(missing):
    comparison = {"name": "m", "rows": [], "cliff": None, "crossing": missing, "newly_solved": None, "lost": None}
    record = dict.fromkeys(make_bare_record()) | {"before": "base", "settings": missing, "comparisons": [comparison]}
    text = read_text(render_page(record))
    for words in ("0 lost Nothing was compared", "It is not known how far", "Coverage was not measured", "0 questions"):
        assert words in text
    assert "No model was compared." in read_text(render_page(make_bare_record()))


def test_text_of_models_and_suites_stays_text(tmp_path):
    page = write(make_hostile_record(), tmp_path / "a.html")
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "innerHTML" not in re.sub(r"//.*", "", page)
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    assert HOSTILE in read_text(page)
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert len(data["comparisons"][0]["rows"]) == 200
    assert max(len(prompt) for _, prompt, _ in data["questions"].values()) > 20_000


def test_the_page_must_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a path that can be written"):
        write_page(make_record(), tmp_path / "file" / "audit.html")


def open_page(page: Path, place: str = "") -> tuple[str, str]:
    """The document after its scripts ran in headless Chromium, and the console's words."""
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
         page.as_uri() + place],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome on PATH")


@needs_browser
def test_in_a_browser(tmp_path):
    write(make_record([f"checkpoint-{step}" for step in (100, 200)]), tmp_path / "a.html")
    dom, console = open_page(tmp_path / "a.html", "#model=0")
    assert console == ""
    assert 'data-of="0">' in dom
    assert 'data-of="1" hidden' in dom
    assert not re.search(r'<section id="[a-z]+"[^>]*hidden', dom)
    table = re.search(r'<table class="prompts rows".*?</table>', dom, re.DOTALL)[0]
    assert table.count('role="img"') == 31
    assert dom.count('<figure class="trend">') == 15
    for plot in ("Change of accuracy by distance from training", "pass@k of both models"):
        assert len(re.findall(rf'<svg class="plot"[^>]*aria-label="{plot}', dom)) == 1
    assert "below at k = 8" in dom
    assert dom.count('<article class="finding">') == 10
    assert "10 of 40 questions" in dom


@needs_browser
def test_odd_records_in_a_browser(tmp_path):
    write(make_hostile_record(), tmp_path / "odd.html")
    for place in ("#model=0", "#model=1", "#model=7"):
        dom, console = open_page(tmp_path / "odd.html", place)
        assert console == ""
        assert "pwned</title>" not in dom
        assert html.escape("<script>document.title='pwned'", quote=False) in dom
    write(make_bare_record(), tmp_path / "bare.html")
    dom, console = open_page(tmp_path / "bare.html")
    assert console == ""
    assert re.search(r'<section id="figures"[^>]*hidden', dom)
