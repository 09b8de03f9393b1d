"""Task families of numbers: chains, fractions, percentages, equations, number theory, sequences, long arithmetic."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

from records import Problem, Rng, Step, show_number

NAMES_OF = {"+": "Add", "-": "Subtract", "*": "Multiply by"}
SUM_ASKS = ("What is {}?", "Calculate {}.", "Compute the value of {}.", "{} = ?", "Work out {} step by step.")


def chained_sums(rng: Rng) -> Problem:
    terms = [rng.randint(2, 99) for _ in range(rng.randint(3, 6))]
    signs = [rng.choice("+-") for _ in terms[1:]]
    chain, value, steps = str(terms[0]), terms[0], []
    for sign, term in zip(signs, terms[1:], strict=True):
        chain += f" {sign} {term}"
        result = value + term if sign == "+" else value - term
        steps.append(Step(f"{'Add' if sign == '+' else 'Subtract'} {term}", f"{value} {sign} {term}", str(result)))
        value = result
    return Problem("chained sums", rng.choice(SUM_ASKS).format(chain), str(value), tuple(steps))


def modular_chains(rng: Rng) -> Problem:
    modulus = rng.choice((7, 9, 10, 11, 12))
    terms = [rng.randrange(1, modulus) for _ in range(rng.randint(3, 6))]
    chain, value, steps = str(terms[0]), terms[0], []
    for term in terms[1:]:
        sign = rng.choice("+-*")
        chain += sign + str(term)
        result = {"+": value + term, "-": value - term, "*": value * term}[sign] % modulus
        steps.append(Step(f"{NAMES_OF[sign]} {term}", f"{value}{sign}{term}", str(result), modulus=modulus))
        value = result
    prompt = f"{chain} mod {modulus}=?\n"
    if rng.random() < 0.3:
        prompt = f"Work strictly from left to right, reducing modulo {modulus} after each operation: {chain}"
    return Problem("modular chains", prompt, str(value), tuple(steps))


def fractions(rng: Rng) -> Problem:
    a, c = rng.randint(1, 7), rng.randint(1, 7)
    b, d = rng.choice((2, 3, 4, 5, 6, 8)), rng.choice((3, 5, 7, 9, 10))
    sign = rng.choice("+-") if Fraction(a, b) > Fraction(c, d) else "+"
    common = math.lcm(b, d)
    left, right = a * common // b, c * common // d
    top = left + right if sign == "+" else left - right
    total = Fraction(top, common)
    steps = [
        Step(f"Over the common denominator {common}", f"{a}/{b}", f"{left}/{common}"),
        Step("The second fraction becomes", f"{c}/{d}", f"{right}/{common}"),
        Step("Add the numerators" if sign == "+" else "Subtract the numerators", f"{left} {sign} {right}", str(top)),
        Step("So", f"{left}/{common} {sign} {right}/{common}", f"{top}/{common}"),
    ]
    gold = str(total)
    if gold != f"{top}/{common}":
        steps.append(Step("In lowest terms", f"{top}/{common}", gold))
    ask = rng.choice(("Compute {}. Give a fraction in lowest terms.", "What is {} as a simplified fraction?"))
    return Problem("fractions", ask.format(f"{a}/{b} {sign} {c}/{d}"), gold, tuple(steps))


def percentages(rng: Rng) -> Problem:
    price, off, tax = rng.randrange(40, 400, 20), rng.choice((5, 10, 15, 20, 25, 30)), rng.choice((5, 10, 20))
    thing = rng.choice(("jacket", "lamp", "bicycle helmet", "radio", "suitcase", "desk"))
    cut = Fraction(price * off, 100)
    reduced = price - cut
    extra = reduced * tax / 100
    n = show_number
    steps = (
        Step("The discount is", f"{price} * {off} / 100", n(cut), unit="dollars"),
        Step("The reduced price is", f"{price} - {n(cut)}", n(reduced), unit="dollars"),
        Step("The tax on that is", f"{n(reduced)} * {tax} / 100", n(extra), unit="dollars"),
        Step("The final price is", f"{n(reduced)} + {n(extra)}", n(reduced + extra), unit="dollars"),
    )
    prompt = (
        f"A {thing} costs ${price}. It is on sale at {off}% off, and {tax}% sales tax is added to the reduced price."
    )
    return Problem("percentages", prompt + " How many dollars do you pay?", n(reduced + extra), steps)


def linear_equations(rng: Rng) -> Problem:
    x, a, b = rng.randint(-9, 12), rng.randint(2, 9), rng.randint(1, 20)
    c = a * x + b
    steps = [
        Step(f"Subtract {b} from both sides", f"{a}x", f"{c} - {b}"),
        Step("Simplify", f"{c} - {b}", str(c - b)),
        Step("That is", f"{a}x", str(c - b)),
        Step(f"Divide both sides by {a}", f"{c - b} / {a}", str(x)),
    ]
    equation = f"{a}x + {b} = {c}"
    if a > 3 and rng.random() < 0.5:
        d = rng.choice([k for k in range(1, a + 3) if abs(k - a) != 1 and k != a])
        right = (a - d) * x
        equation = f"{a}x + {b} = {d}x {'+' if c >= d * x else '-'} {abs(c - d * x)}"
        steps = [
            Step(f"Subtract {d}x from both sides", f"{a - d}x + {b}", str(c - d * x)),
            Step(f"Subtract {b} from both sides", f"{c - d * x} - {b}", str(right)),
            Step("That leaves", f"{a - d}x", str(right)),
            Step(f"Divide by {a - d}", f"{right} / {a - d}" if a > d else f"{right} / ({a - d})", str(x)),
        ]
    ask = rng.choice(("Solve for x: ${}$", "Find the value of x if {}.", "Determine x that satisfies: {}"))
    return Problem("linear equations", ask.format(equation), str(x), tuple(steps), x=Fraction(x))


def number_theory(rng: Rng) -> Problem:
    if rng.random() < 0.5:
        g = rng.randint(2, 15)
        a, b = g * rng.randint(8, 40), g * rng.randint(5, 30)
        prompt, steps = f"Find the greatest common divisor of {a} and {b}.", []
        a, b = max(a, b), min(a, b)
        if a % b == 0:
            return number_theory(rng)
        while b:
            steps.append(Step(f"Divide {a} by {b}", f"{b} * {a // b} + {a % b}", str(a)))
            a, b = b, a % b
        steps.append(Step("The last divisor with remainder 0 is the gcd", "", ""))
        return Problem("number theory", prompt, str(a), tuple(steps), final_step=False)
    p, q, r = (rng.randint(12, 99) for _ in range(3))
    m = rng.choice((7, 9, 11, 13))
    product = p * q
    total = product + r
    steps_b = (
        Step("Multiply first", f"{p} * {q}", str(product)),
        Step(f"Add {r}", f"{product} + {r}", str(total)),
        Step(f"Largest multiple of {m} below", f"{m} * {total // m}", str(m * (total // m))),
        Step("The remainder is", f"{total} - {m * (total // m)}", str(total % m)),
    )
    return Problem(
        "number theory", f"What is the remainder when {p} * {q} + {r} is divided by {m}?", str(total % m), steps_b
    )


def sequences(rng: Rng) -> Problem:
    first, gap, grow = rng.randint(1, 12), rng.randint(2, 9), rng.randint(1, 4)
    terms = [first]
    for k in range(5):
        terms.append(terms[-1] + gap + k * grow)
    steps = [Step(f"From {a} to {b}", f"{b} - {a}", str(b - a)) for a, b in itertools.pairwise(terms[:5])]
    last = gap + 3 * grow
    steps.append(Step(f"The differences grow by {grow}, so the next one is", f"{last} + {grow}", str(last + grow)))
    steps.append(Step("The next term is", f"{terms[4]} + {last + grow}", str(terms[5])))
    shown = ", ".join(map(str, terms[:5]))
    ask = rng.choice(("{}, ?", "What number comes next in the sequence {}, ...?", "Find the next term: {}"))
    return Problem("sequences", ask.format(shown), str(terms[5]), tuple(steps))


def long_arithmetic(rng: Rng) -> Problem:
    a, b = rng.randint(112, 989), rng.randint(12, 98)
    tens, units = b // 10 * 10, b % 10
    steps = [Step(f"Multiply by {tens}", f"{a} * {tens}", str(a * tens))]
    if units:
        steps.append(Step(f"Multiply by {units}", f"{a} * {units}", str(a * units)))
        steps.append(Step("Add the partial products", f"{a * tens} + {a * units}", str(a * b)))
    else:
        steps.insert(0, Step("Leave the zero aside", f"{a} * {tens // 10}", str(a * tens // 10)))
    ask = rng.choice(("What is {} * {}?", "Multiply {} by {}.", "Compute {} × {} by hand."))
    return Problem("long arithmetic", ask.format(a, b), str(a * b), tuple(steps))


def countdown(rng: Rng) -> Problem:
    while True:
        numbers = [rng.randint(2, 25) for _ in range(4)]
        value, expression, steps = numbers[0], str(numbers[0]), []
        for number in numbers[1:]:
            sign = rng.choice("+-*")
            result = {"+": value + number, "-": value - number, "*": value * number}[sign]
            steps.append(Step(f"Use {number}", f"{value} {sign} {number}", str(result)))
            expression = (
                f"({expression}) {sign} {number}"
                if sign == "*" and " " in expression
                else f"{expression} {sign} {number}"
            )
            value = result
        if 10 <= value <= 999 and all(int(s.right) > 0 for s in steps):
            break
    shown = rng.sample(numbers, 4)
    prompt = f"Using all the numbers {', '.join(map(str, shown))}, write an expression that equals {value}."
    return Problem("countdown", prompt + " Give the expression.", expression, tuple(steps), final_step=False)
