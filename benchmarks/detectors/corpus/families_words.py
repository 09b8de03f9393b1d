"""Task families told in words: stories, units, geometry, counting, dates, tables, code, unit prices."""

from __future__ import annotations

import math
from fractions import Fraction

from records import Problem, Rng, Step, show_number

NAMES = ("Maya", "Tom", "Aisha", "Ravi", "Elena", "Jonas", "Mei", "Carlos", "Nora", "Kofi")
GOODS = ("pencils", "apples", "stickers", "marbles", "cookies", "stamps", "tickets", "shells")


def word_problems(rng: Rng) -> Problem:
    who, other, thing = *rng.sample(NAMES, 2), rng.choice(GOODS)
    a, b, c, d = rng.randint(3, 12), rng.randint(4, 15), rng.randint(2, 20), rng.randint(2, 5)
    made = a * b
    kind = rng.randrange(4)
    if kind == 0:
        c = min(c, made - 2)
        prompt = f"{who} buys {a} boxes with {b} {thing} each and gives {c} {thing} to {other}. How many are left?"
        steps = [
            Step(f"{who} starts with", f"{a} * {b}", str(made)),
            Step(f"After the gift to {other} there are", f"{made} - {c}", str(made - c)),
        ]
    elif kind == 1:
        prompt = (
            f"{who} picks {a} {thing} a day for {b} days. {other} picks {d} times as many in total. "
            f"How many {thing} do they have together?"
        )
        steps = [
            Step(f"{who} picks", f"{a} * {b}", str(made)),
            Step(f"{other} picks", f"{made} * {d}", str(made * d)),
            Step("Together they have", f"{made} + {made * d}", str(made + made * d)),
        ]
    elif kind == 2:
        prompt = (
            f"{who} has {a * d} {thing} and shares them equally among {d} friends. Each friend then finds {b} more and "
            f"loses {min(c, a + b - 1)}. How many {thing} does each friend have now?"
        )
        c = min(c, a + b - 1)
        steps = [
            Step("Each friend gets", f"{a * d} / {d}", str(a)),
            Step("With the ones found", f"{a} + {b}", str(a + b)),
            Step("After the loss", f"{a + b} - {c}", str(a + b - c)),
        ]
    else:
        prompt = (
            f"A class sells {a} trays of {b} {thing} at ${d} each. Materials cost ${c}. "
            "How many dollars of profit does the class make?"
        )
        steps = [
            Step("The number sold is", f"{a} * {b}", str(made)),
            Step("The income is", f"{made} * {d}", str(made * d)),
            Step("The profit is", f"{made * d} - {c}", str(made * d - c)),
        ]
    return Problem("word problems", prompt, steps[-1].right, tuple(steps))


def units_time(rng: Rng) -> Problem:
    if rng.random() < 0.5:
        h, m, laps = rng.randint(1, 4), rng.randint(5, 55), rng.randint(2, 6)
        per = h * 60 + m
        prompt = f"One round of a course takes {h} h {m} min. How many minutes do {laps} rounds take?"
        steps = [
            Step("Hours into minutes", f"{h} * 60", str(h * 60), unit="min"),
            Step("One round takes", f"{h * 60} + {m}", str(per), unit="min"),
            Step(f"{laps} rounds take", f"{per} * {laps}", str(per * laps), unit="min"),
        ]
    else:
        km, m, times = rng.randint(1, 9), rng.randrange(50, 950, 50), rng.randint(2, 7)
        per = km * 1000 + m
        prompt = (
            f"A path is {km} km and {m} m long. {rng.choice(NAMES)} walks it {times} times. How many metres is that?"
        )
        steps = [
            Step("Kilometres into metres", f"{km} * 1000", str(km * 1000), unit="m"),
            Step("The path has a length of", f"{km * 1000} + {m}", str(per), unit="m"),
            Step("In all", f"{per} * {times}", str(per * times), unit="m"),
        ]
    return Problem("units and time", prompt, steps[-1].right, tuple(steps))


def geometry(rng: Rng) -> Problem:
    w, h, s = rng.randint(6, 30), rng.randint(5, 25), rng.randint(2, 5)
    if rng.random() < 0.5:
        prompt = (
            f"A {w} cm by {h} cm rectangle has a {s} cm by {s} cm square cut out. What is the remaining area in cm^2?"
        )
        steps = [
            Step("The rectangle has an area of", f"{w} * {h}", str(w * h), unit="cm^2"),
            Step("The square has an area of", f"{s} * {s}", str(s * s), unit="cm^2"),
            Step("What remains is", f"{w * h} - {s * s}", str(w * h - s * s), unit="cm^2"),
        ]
    else:
        prompt = (
            f"A rectangle is {w} m long and {h} m wide. A fence around it costs ${s} per metre. "
            "How much does the fence cost in dollars?"
        )
        steps = [
            Step("Length plus width is", f"{w} + {h}", str(w + h), unit="m"),
            Step("The perimeter is", f"2 * {w + h}", str(2 * (w + h)), unit="m"),
            Step("The cost is", f"{2 * (w + h)} * {s}", str(2 * (w + h) * s), unit="dollars"),
        ]
    return Problem("geometry", prompt, steps[-1].right, tuple(steps))


def counting(rng: Rng) -> Problem:
    n, k, m = rng.randint(5, 15), rng.randint(2, 4), rng.randint(2, 7)
    product, steps = n, []
    for j in range(1, k):
        steps.append(Step(f"Position {j + 1} leaves {n - j} choices", f"{product} * {n - j}", str(product * (n - j))))
        product *= n - j
    order = rng.random() < 0.5
    if not order:
        steps.append(Step("Orders of the same group", " * ".join(map(str, range(k, 0, -1))), str(math.factorial(k))))
        steps.append(Step("The order does not matter, so", f"{product} / {math.factorial(k)}", str(math.comb(n, k))))
        product = math.comb(n, k)
    steps.append(Step(f"With {m} colours of badge", f"{product} * {m}", str(product * m)))
    what = f"a row of {k} runners" if order else f"a group of {k} runners"
    prompt = f"From {n} runners a coach picks {what}, and then one of {m} badge colours for all. In how many ways?"
    return Problem("counting", prompt, str(product * m), tuple(steps))


def clocks(rng: Rng) -> Problem:
    h, m, d = rng.randint(0, 23), rng.choice(range(0, 60, 5)), rng.choice(range(65, 900, 5))
    start = h * 60 + m
    end, days = (start + d) % 1440, (start + d) // 1440
    steps = [
        Step("The start in minutes after midnight", f"{h} * 60 + {m}", str(start)),
        Step("The end", f"{start} + {d}", str(start + d)),
    ]
    if days:
        steps.append(Step("Take off a whole day", f"{start + d} - 1440", str(end)))
    steps.append(Step("In hours and minutes", f"{end // 60} * 60 + {end % 60}", str(end)))
    gold = f"{end // 60:02d}:{end % 60:02d}"
    prompt = f"A festival night starts at {h:02d}:{m:02d} and runs {d} minutes. At what time (24-hour) does it end?"
    return Problem("clocks", prompt, gold, tuple(steps), final_step=False)


def tables(rng: Rng) -> Problem:
    k, limit = rng.randint(3, 9), rng.randint(60, 110)
    multiples = list(range(k, limit + 1, k))
    digit = rng.choice("12345678")
    hits = [v for v in multiples if digit in str(v)]
    steps = [
        Step(
            f"{i} times {k}{' contains the digit' if v in hits else ' does not contain the digit'}",
            f"{i} * {k}",
            str(v),
        )
        for i, v in enumerate(multiples, 1)
    ]
    steps.append(
        Step(f"The ones with the digit {digit}: {', '.join(map(str, hits)) or 'none'}, so the count is {len(hits)}")
    )
    prompt = f"How many positive multiples of {k} up to {limit} contain the digit {digit}? List them all."
    return Problem("tables", prompt, str(len(hits)), tuple(steps), final_step=False)


def code_output(rng: Rng) -> Problem:
    a, b, n, c = rng.randint(1, 20), rng.randint(2, 4), rng.randint(3, 5), rng.randint(1, 9)
    value, steps, form = a, [], rng.randrange(3)
    for i in range(n):
        left, right = [
            (f"{value} * {b} - {i}", value * b - i),
            (f"{value} + {c} * {i}", value + c * i),
            (f"{value} * {b} - {c}", value * b - c),
        ][form]
        steps.append(Step(f"When i is {i}", left, str(right)))
        value = right
    line = (f"x * {b} - i", f"x + {c} * i", f"x * {b} - {c}")[form]
    prompt = f"What does this print?\n```python\nx = {a}\nfor i in range({n}):\n    x = {line}\nprint(x)\n```"
    return Problem("code output", prompt, str(value), tuple(steps))


def unit_prices(rng: Rng) -> Problem:
    x, y, k = rng.randint(2, 8), rng.randint(9, 24), rng.randrange(15, 95, 5)
    total, thing = (
        Fraction(x * k, 100),
        rng.choice(("litres of oil", "kilograms of rice", "metres of ribbon", "notebooks")),
    )
    need = Fraction(y * k, 100)
    paid = math.ceil(need / 10) * 10
    n = show_number
    steps = (
        Step("The price of one is", f"{n(total)} / {x}", n(Fraction(k, 100)), unit="dollars"),
        Step(f"The price of {y} is", f"{n(Fraction(k, 100))} * {y}", n(need), unit="dollars"),
        Step("The change is", f"{paid} - {n(need)}", n(paid - need), unit="dollars"),
    )
    prompt = f"{x} {thing} cost ${n(total)}. You buy {y} and pay with ${paid}. How many dollars do you get back?"
    return Problem("unit prices", prompt, n(paid - need), steps)
