"""Evidence read in other processes is the evidence read here."""

from __future__ import annotations

import signal
import time

import pytest

from rlguard.guard.reading import CHUNK, MANY_CHARACTERS, EvidenceReader, read_evidence

ROWS = 3 * CHUNK + 5
PROMPTS = [f"{row}+8+5=?" for row in range(ROWS)]
COMPLETIONS = [f"{row}+8={row + 8}; {row + 8}+5={row + 13}; answer {row + 13}" for row in range(ROWS)]
COMPLETIONS[7], COMPLETIONS[8] = None, [{"role": "assistant", "content": "answer 3"}]
DATA = [
    {"answer": row + 13, "rlguard_trials": 8, "rlguard_successes": row % 8, "image": object()} for row in range(ROWS)
]


def read_here():
    return [read_evidence(*row) for row in zip(PROMPTS, COMPLETIONS, DATA, strict=True)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_processes_give_what_is_read_here(workers):
    """Also: columns that are not read, like a picture that cannot be pickled, do not travel."""
    assert repr(EvidenceReader(workers=workers).read(PROMPTS, COMPLETIONS, DATA)) == repr(read_here())


def test_begin_does_not_wait(monkeypatch):
    reader = EvidenceReader(workers=1)
    reader.read(PROMPTS[:1], COMPLETIONS[:1], DATA[:1])
    long = ["1+1=2. " * 20_000] * 40
    start = time.perf_counter()
    collect = reader.begin(["1+1=?"] * 40, long, [{}] * 40)
    begun = time.perf_counter() - start
    collect()
    assert begun < (time.perf_counter() - start) / 2


def test_a_process_that_dies_is_replaced_and_nothing_is_lost(caplog):
    reader = EvidenceReader(workers=1)
    reader.read(PROMPTS, COMPLETIONS, DATA)
    process = reader._idle.get()
    process.kill()
    process.wait()
    reader._idle.put(process)
    assert repr(reader.read(PROMPTS, COMPLETIONS, DATA)) == repr(read_here())
    assert "a reading process failed" in caplog.text
    assert repr(reader.read(PROMPTS, COMPLETIONS, DATA)) == repr(read_here())


def test_a_process_that_stands_still_is_waited_for_with_a_limit(monkeypatch):
    reader = EvidenceReader(workers=1)
    reader.read(PROMPTS[:1], COMPLETIONS[:1], DATA[:1])
    process = reader._idle.get_nowait()
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr("rlguard.guard.reading.PATIENCE", 5.0)
    reader._idle.put(process)
    found = reader.read(PROMPTS, COMPLETIONS, DATA)
    assert [bool(item.fault) for item in found] == [True] * CHUNK + [False] * (ROWS - CHUNK)
    assert found[0].fault == "TimeoutError: no answer in 5 s"


def test_processes_that_do_not_start_are_said_once_and_nothing_is_lost(caplog, monkeypatch):
    def fail(*_, **__):
        raise OSError("no more processes")

    monkeypatch.setattr("rlguard.guard.reading.subprocess.Popen", fail)
    assert repr(EvidenceReader(workers=2).read(PROMPTS, COMPLETIONS, DATA)) == repr(read_here())
    assert caplog.text.count("no more processes") == 1


def test_short_batches_start_no_process_by_themselves():
    reader = EvidenceReader()
    reader.read(PROMPTS, COMPLETIONS, DATA)
    assert reader._threads is None
    reader.read(["p"] * 2, ["x " * MANY_CHARACTERS] * 2, [{}] * 2)
    assert reader._threads is not None


def test_what_cannot_be_pickled_is_read_here(caplog):
    rows = [{"answer": (lambda: 1)}]
    found = EvidenceReader(workers=1).read(["p"], ["answer 3"], rows)
    assert found[0].answer == "3"


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="zip"):
        EvidenceReader().read(PROMPTS, COMPLETIONS[:-1], DATA)


def test_turns_of_others_are_not_read_as_the_models_words():
    talk = [
        {"role": "assistant", "content": "The answer is 7."},
        {"role": "user", "content": "Are you sure? " * 30 + "The answer is 9."},
    ]
    evidence = read_evidence("3 + 4 = ?", talk, {"answer": "7"})
    assert evidence.answer == "7"
    assert evidence.kinds == ()
