"""The three families of the efficacy benchmark: kinds of problems whose difficulty is known. Pure Python, no torch.

All are chains read strictly left to right, with written steps and a closing answer; all fits `MAX_COMPLETION` tokens.

| family    | a prompt         | a full completion            | a guess is right ...             |
|-----------|------------------|------------------------------|----------------------------------|
| `sums`    | `7+8-5 mod 10=?` | `7+8=5;5-5=0;answer 0`       | 1 in 7 or 10                     |
| `strings` | `abcd rl=?`      | `r:dcba;l:cbad;answer cbad`  | 1 in 24: a shuffle of 4 letters  |
| `logic`   | `T&F^T=?`        | `&F=F;^T=T;answer T`         | 1 in 2: the extreme case         |

Each has three *prior* kinds, held before and never trained on in RL; `mix`, longer chains of all their operators, which
the model half masters; and the four near-impossible kinds:

| kind          | what it is                                                           | a right answer is ...     |
|---------------|----------------------------------------------------------------------|---------------------------|
| `unlearnable` | `#`: a keyed hash of the prompt, in 0..9 (strings: one of the 24)    | always luck               |
| `mislabelled` | a `mix` chain whose gold answer is wrong                             | luck or a false step      |
| `guessable`   | a hash with 2 or 3 answers: `#` mod 2 or 3 (sums), `$` (the others)  | always luck               |
| `rare_valid`  | one `@`, hardly seen in SFT, in a chain otherwise known              | rare, computed, learnable |

`@` is 2a+b mod 10 in sums, swaps the halves in strings, and in logic ends a chain with one of four digits. What makes
`mix` hard is length in sums and strings, and `~` (equal), which the prior kinds lack, in logic. Its `rare_valid` is
not rare yet: a table of four is learned all or nothing, so its built model computes about half of these.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "recipes"))
from tiny_reasoner.tasks import MAX_COMPLETION

from benchmarks.efficacy.families.family import NEAR_IMPOSSIBLE, Family
from benchmarks.efficacy.families.logic import LOGIC
from benchmarks.efficacy.families.strings import STRINGS
from benchmarks.efficacy.families.sums import SUMS
from benchmarks.efficacy.families.words import WORDS

__all__ = ["FAMILIES", "MAX_COMPLETION", "NEAR_IMPOSSIBLE", "Family"]

FAMILIES: dict[str, Family] = {family.name: family for family in (SUMS, STRINGS, LOGIC, WORDS)}
"""The families by name."""
