"""Draws rollouts until every prompt is decided: engine, verifiers and store kept busy by one queue."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlguard.answers import begin_answer, end_answer
from rlguard.difficulty.stopping import Plan
from rlguard.rollouts.segments import Tally
from rlguard.rollouts.store import RolloutStore
from rlguard.types import Engine, Generation, InputError, Problem, Request, Rollout, Sampling
from rlguard.verify.pool import VerifierPool


@dataclass(frozen=True)
class Progress:
    """Progress of the sampling."""

    phase: str
    """`sampling`, `refining` (the first plan left too many bands uncertain), `answer only`."""
    prompts: int
    decided: int
    rollouts: int
    """Scored so far, those of earlier runs included."""
    most: int
    """Rollouts that a prompt takes at most."""
    saved: int
    """Rollouts saved so far: `most` for each decided prompt, less what it took."""
    to_come: float
    """Expected rollouts for the prompts that are still open."""
    tokens: int
    """Generated in this phase."""
    drawn: int
    """Rollouts generated in this phase."""


class Sampler:
    """The queue between engine and verifiers: hands out requests, takes generations, asks for more where needed.

    It is what an engine draws its requests from: an iterator that may be asked again after it had nothing.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        plan: Plan,
        store: RolloutStore,
        pool: VerifierPool,
        on_progress: Callable[[Progress], None] | None = None,
        phase: str = "sampling",
    ) -> None:
        """
        Args:
            problems: What is to be sampled, each id once.
            plan: How many rollouts a prompt gets.
            store: Where they are kept; prompts go on from what it holds.
            pool: Scores them.
            on_progress: Called after every change.
            phase: What the progress is of.
        """
        self._problems = {problem.id: problem for problem in problems}
        self._plan = plan
        self._store, self._pool, self._on_progress, self._phase = store, pool, on_progress, phase
        self._ready: deque[Request] = deque()
        self._in_engine = 0
        self._decided = self._saved = self._tokens = self._drawn = 0
        self._rollouts = sum(store.tallies[name].drawn for name in self._problems if name in store.tallies)
        self._to_come: dict[str, float] = {}  # open prompts: expected further rollouts
        self._sum_to_come = 0.0
        waiting = self._score_received()
        for problem in problems:
            if problem.id not in waiting:
                self._go_on(problem.id, first=False)

    def run(self, engine: Engine, sampling: Sampling) -> None:
        """Samples until every prompt is decided."""
        self._report()
        while self._ready or self._pool.pending:
            for request, generations in engine.generate(self, sampling):
                self._take(request, generations)
            if self._in_engine:
                raise InputError(f"engine {engine.describe().get('name')!r} left {self._in_engine} requests unanswered")

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        self._collect(block=False)
        while not self._ready and not self._in_engine and self._pool.pending:  # the verifiers may ask for more
            self._collect(block=True)
        if not self._ready:
            raise StopIteration
        self._in_engine += 1
        return self._ready.popleft()

    def _take(self, request: Request, generations: Sequence[Generation]) -> None:
        """Keeps what came out of the engine, and has it scored."""
        self._in_engine -= 1
        if generations:
            rollouts = [
                Rollout(request.problem.id, request.first + i, g.text, tokens=g.tokens, finish_reason=g.finish_reason)
                for i, g in enumerate(generations)
            ]
            self._drawn += len(rollouts)
            self._tokens += sum(rollout.tokens for rollout in rollouts)
            self._store.receive(rollouts)
            self._submit(rollouts)
        else:  # the engine cannot sample this prompt, and has said so
            self._close(request.problem.id)
        self._collect(block=False)
        self._report()

    def _submit(self, rollouts: list[Rollout]) -> None:
        texts = [rollout.completion for rollout in rollouts]
        self._pool.submit(rollouts, texts, self._problems[rollouts[0].prompt_id])

    def _collect(self, block: bool) -> None:
        for rollouts, scores in self._pool.collect(block):
            self._store.append(
                dataclasses.replace(rollout, outcome=outcome, answer=answer)
                for rollout, (outcome, answer) in zip(rollouts, scores, strict=True)
            )
            self._rollouts += len(rollouts)
            self._go_on(rollouts[0].prompt_id, first=True)
            self._report()

    def _go_on(self, prompt_id: str, first: bool) -> None:
        """Queues what the prompt needs next, before all others: the engine still has its prefix cached."""
        tally = self._store.tallies.get(prompt_id, Tally())
        look = self._plan.next_look(tally.successes, tally.trials)
        if look is None or tally.drawn >= self._plan.max_n:  # the second: too many could not be scored
            self._close(prompt_id)
            return
        count = min(look - tally.trials, self._plan.max_n - tally.drawn)
        request = Request(self._problems[prompt_id], count, tally.drawn)
        (self._ready.appendleft if first else self._ready.append)(request)
        self._expect(prompt_id, self._plan.expected_more(tally.successes, tally.trials))

    def _close(self, prompt_id: str) -> None:
        tally = self._store.tallies.get(prompt_id, Tally())
        self._decided += 1
        self._saved += self._plan.max_n - tally.drawn
        self._expect(prompt_id, 0.0)

    def _expect(self, prompt_id: str, rollouts: float) -> None:
        self._sum_to_come += rollouts - self._to_come.pop(prompt_id, 0.0)
        if rollouts:
            self._to_come[prompt_id] = rollouts

    def _score_received(self) -> set[str]:
        """Has the rollouts scored that an earlier run generated and was killed before scoring."""
        by_prompt: dict[str, list[Rollout]] = {}
        for rollout in self._store.received:
            if rollout.prompt_id in self._problems:
                by_prompt.setdefault(rollout.prompt_id, []).append(rollout)
        for rollouts in by_prompt.values():
            self._submit(rollouts)
        return set(by_prompt)

    def _report(self) -> None:
        if self._on_progress:
            self._on_progress(
                Progress(
                    self._phase, len(self._problems), self._decided, self._rollouts, self._plan.max_n, self._saved,
                    self._sum_to_come, self._tokens, self._drawn,
                )
            )  # fmt: skip


class AnswerOnly:
    """An engine that lets the model only guess: the answer is begun for it, so that there is no room to reason.

    How often that passes is the chance rate of a prompt, as its model guesses (Kimi k1.5 drops such prompts,
    arXiv 2501.12599). On an easy prompt it is more than luck: what a model can do in its head counts here too.
    """

    def __init__(self, engine: Engine, cue: str) -> None:
        """
        Args:
            engine: Engine that samples.
            cue: How an answer begins, in words that the verifier's extraction knows.
        """
        self._engine, self._cue = engine, cue

    def describe(self) -> dict[str, Any]:
        """The engine's own description, and the cue."""
        return self._engine.describe() | {"answer_cue": self._cue}

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """As the engine does; completions begin with the cue and end with the line."""
        asked: dict[str, Request] = {}

        def begin(request: Request) -> Request:
            asked[request.problem.id] = request
            prompt = begin_answer(request.problem.prompt, self._cue)
            return dataclasses.replace(request, problem=dataclasses.replace(request.problem, prompt=prompt))

        for request, generations in self._engine.generate(map(begin, requests), sampling):
            guesses = [dataclasses.replace(g, text=end_answer(self._cue, g.text)) for g in generations]
            yield asked.pop(request.problem.id), guesses
