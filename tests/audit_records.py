"""Records of audits as `audit.json` holds them, made up."""

import dataclasses
import json

import numpy as np

from rlguard.audit import distance
from rlguard.audit.paired import Row

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
        "cliff": dataclasses.asdict(distance.fit_cliff(known, DISTANCES)),
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
