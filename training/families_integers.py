"""Families over single integers."""

# Templates of docstrings and bodies are kept whole, on one line each.
# ruff: noqa: E501

from training.arguments import INTEGER, LARGE, NATURAL, OTHER_INTEGER, SMALL
from training.blocks import (
    COMPARISONS,
    DIGIT_PREDICATES,
    DIVISIONS,
    MAPS,
    PREDICATES,
    SMALL_PREDICATES,
    Block,
    constants,
)
from training.families_lists import EXTREMES
from training.family import Family

WORD_PAIRS = tuple(
    Block(name=f"{a}_{b}", code=f"{a} {b}", words=(f"{a} {b}",))
    for a, b in (
        ("Fizz", "Buzz"),
        ("tick", "tock"),
        ("foo", "bar"),
        ("ping", "pong"),
        ("up", "down"),
        ("A", "B"),
    )
)

# Every walk in steps of 1 to 4 meets such a number.
REACHABLE = tuple(block for block in DIVISIONS if block.hints[0] in (5, 7, 11))

INTEGER_FAMILIES: tuple[Family, ...] = (
    Family(
        name="sum_range",
        names=("sum_of_{m.name}", "sum_up_to", "series"),
        takes=(NATURAL,),
        returns="int",
        slots={"p": PREDICATES, "m": MAPS},
        docs=(
            "Return the sum of the integers from 1 to @a that are {p}, each {m}.",
            "Go through 1, 2, ..., @a; take what is {p}; add it up, each term {m}.",
        ),
        body="total = 0\nfor i in range(1, @a + 1):\n    if {p[i]}:\n        total += {m[i]}\nreturn total",
        weight=1.5,
    ),
    Family(
        name="list_range",
        names=("numbers_{p.name}", "list_up_to", "enumerate_{p.name}"),
        takes=(NATURAL,),
        returns="list[int]",
        slots={"p": PREDICATES, "s": constants(range(6)), "m": MAPS},
        docs=(
            "List the integers from {s} to @a (inclusive) that are {p}, each {m}.",
            "Return all i with {s} <= i <= @a that are {p}, every one {m}.",
        ),
        body="return [{m[i]} for i in range({s}, @a + 1) if {p[i]}]",
    ),
    Family(
        name="digit_fold",
        names=("digit_{g.name}", "digits_{p.name}", "fold_digits"),
        takes=(LARGE,),
        returns="int",
        slots={
            "p": DIGIT_PREDICATES,
            "g": (
                Block(name="sum", code="sum(digits)", words=("sum", "total")),
                Block(name="count", code="len(digits)", words=("number", "count")),
                Block(name="largest", code="max(digits, default=0)", words=("largest (0 if there is none)",)),
                Block(
                    name="smallest", code="min(digits, default=0)", words=("smallest (0 if there is none)",)
                ),
            ),
        },
        docs=(
            "Return the {g} of the decimal digits of @a that are {p}.",
            "Look at the digits of @a that are {p} and return their {g}.",
        ),
        body="digits = [int(d) for d in str(@a)]\ndigits = [d for d in digits if {p[d]}]\nreturn {g.code}",
    ),
    Family(
        name="digit_loop",
        names=("digit_score", "weigh_digits", "digit_{m.name}"),
        takes=(LARGE,),
        returns="int",
        slots={"p": DIGIT_PREDICATES, "m": MAPS},
        docs=(
            "Add up the digits of @a: those that are {p} count {m}, the others as they are.",
            "Sum over the decimal digits of @a, where a digit that is {p} is {m} first.",
        ),
        body="total = 0\nwhile @a > 0:\n    d = @a % 10\n    total += {m[d]} if {p[d]} else d\n    @a //= 10\nreturn total",
    ),
    Family(
        name="count_steps",
        names=("count_steps", "steps_to_{k}", "shrink"),
        takes=(LARGE,),
        returns="int",
        slots={"k": constants(range(1, 10)), "c": constants(range(2, 6)), "d": constants(range(1, 6))},
        docs=(
            "While @a is greater than {k}: divide it by {c} if it is divisible by {c}, else subtract {d}. Return the number of steps.",
            "Count the steps until @a is at most {k}. A step divides by {c} when that leaves no remainder and subtracts {d} otherwise.",
        ),
        body="steps = 0\nwhile @a > {k}:\n    if @a % {c} == 0:\n        @a //= {c}\n    else:\n        @a -= {d}\n    steps += 1\nreturn steps",
    ),
    Family(
        name="piecewise",
        names=("piecewise", "rate", "bracket"),
        takes=(INTEGER,),
        returns="int",
        slots={"p": PREDICATES, "q": PREDICATES, "m": MAPS, "o": MAPS, "k": constants(range(10))},
        docs=(
            "If @a is {p}, return it {m}. Otherwise, if it is {q}, return it {o}. Otherwise return {k}.",
            "Return @a {m} when @a is {p}, @a {o} when it is {q} but not {p}, and {k} in every other case.",
        ),
        body="if {p[@a]}:\n    return {m[@a]}\nif {q[@a]}:\n    return {o[@a]}\nreturn {k}",
        weight=2,
        allows=lambda c: c["p"] is not c["q"] and c["m"] is not c["o"],
    ),
    Family(
        name="recurrence",
        names=("sequence", "recurrence", "term"),
        takes=(SMALL,),
        returns="int",
        slots={
            "s": constants(range(5)),
            "t": constants(range(1, 6)),
            "p": constants(range(1, 4)),
            "q": constants(range(1, 4)),
        },
        docs=(
            "A sequence starts with {s} and {t}; each later term is {p} times the previous one plus {q} times the one before that. Return the term with index @a, counting from 0.",
            "Let f(0) = {s}, f(1) = {t} and f(i) = {p} * f(i - 1) + {q} * f(i - 2). Return f(@a).",
        ),
        body="previous, current = {s}, {t}\nfor _ in range(@a):\n    previous, current = current, {p} * current + {q} * previous\nreturn previous",
    ),
    Family(
        name="iterate",
        names=("iterate", "repeat_map", "evolve"),
        takes=(SMALL,),
        returns="int",
        slots={"s": constants(range(1, 12)), "p": SMALL_PREDICATES, "m": MAPS, "o": MAPS},
        docs=(
            "Start with {s} and repeat @a times: a value that is {p} is {m}, any other is {o}. Return the last value.",
            "Beginning at x = {s}, change x @a times. If x is {p}, it is {m}; else it is {o}. Return x.",
        ),
        body="x = {s}\nfor _ in range(@a):\n    x = {m[x]} if {p[x]} else {o[x]}\nreturn x",
        allows=lambda c: (
            c["m"] is not c["o"] and not any(n in ("squared", "cubed") for n in (c["m"].name, c["o"].name))
        ),
    ),
    Family(
        name="divisors",
        names=("divisors_{p.name}", "count_divisors", "divisor_sum"),
        takes=(NATURAL,),
        returns="int",
        slots={
            "p": PREDICATES,
            "g": (
                Block(name="sum", code="sum(@x)", words=("sum", "total")),
                Block(name="count", code="len(@x)", words=("number", "count")),
                Block(
                    name="largest",
                    code="max(@x, default=0)",
                    words=("largest (0 if none)", "greatest (0 if none)"),
                ),
            ),
        },
        docs=(
            "Return the {g} of the positive divisors of @a that are {p}.",
            "Find all divisors of @a that are {p} and return their {g}.",
        ),
        body="found = [d for d in range(1, @a + 1) if @a % d == 0 and {p[d]}]\nreturn {g[found]}",
    ),
    Family(
        name="next_number",
        names=("next_{p.name}", "first_from", "search_up"),
        takes=(INTEGER,),
        returns="int",
        slots={"p": REACHABLE, "q": PREDICATES, "s": constants(range(1, 5))},
        docs=(
            "Starting from @a, go up in steps of {s} until the number is {p} or {q}, and return it.",
            "Return the first of @a, @a + {s}, @a + 2 * {s}, ... that is {p} or {q}.",
        ),
        body="while not ({p[@a]} or {q[@a]}):\n    @a += {s}\nreturn @a",
    ),
    Family(
        name="fizzbuzz",
        names=("fizzbuzz", "say", "{s.name}"),
        takes=(NATURAL,),
        returns="list[str]",
        slots={"s": WORD_PAIRS, "j": constants(range(2, 6)), "k": constants(range(3, 9))},
        docs=(
            "For each i from 1 to @a give the first word of '{s}' if i is divisible by {j}, the second if it is divisible by {k} only, else str(i).",
            "Count from 1 to @a as strings; multiples of {j} become the first word of '{s}', other multiples of {k} the second.",
        ),
        body='first, second = "{s.code}".split()\nresult = []\nfor i in range(1, @a + 1):\n    if i % {j} == 0:\n        result.append(first)\n    elif i % {k} == 0:\n        result.append(second)\n    else:\n        result.append(str(i))\nreturn result',
        allows=lambda c: c["j"].code != c["k"].code,
        weight=0.7,
    ),
    Family(
        name="two_integers",
        names=("combine", "mix", "score_pair"),
        takes=(INTEGER, OTHER_INTEGER),
        returns="int",
        slots={"e": EXTREMES, "p": COMPARISONS, "m": MAPS, "o": MAPS},
        docs=(
            "Return the {e} of @a and @b, {m} if @a is {p}, else {o}.",
            "Take the {e} of @a and @b. When @a is {p}, return it {m}; otherwise return it {o}.",
        ),
        body="x = {e.code}(@a, @b)\nif {p[@a]}:\n    return {m[x]}\nreturn {o[x]}",
        allows=lambda c: c["m"] is not c["o"],
    ),
    Family(
        name="both_predicates",
        names=("check_pair", "is_match", "test_both"),
        takes=(INTEGER, OTHER_INTEGER),
        returns="bool",
        slots={
            "p": PREDICATES,
            "q": PREDICATES,
            "j": (
                Block(name="and", code="and", words=("and",)),
                Block(name="or", code="or", words=("or",)),
            ),
        },
        docs=(
            "Return True if @a is {p} {j} @b is {q}, else False.",
            "Tell whether @a is {p} {j} @b is {q}.",
        ),
        body="return {p[@a]} {j.code} {q[@b]}",
    ),
    Family(
        name="to_base",
        names=("to_base_{k}", "digits_in_base_{k}", "convert"),
        takes=(NATURAL,),
        returns="list[int]",
        slots={"k": constants(range(2, 10)), "m": MAPS},
        docs=(
            "Return the digits of @a in base {k}, least significant first, each {m} (an empty list for 0).",
            "Write @a in base {k} as a list of digits from the last to the first, every digit {m}.",
        ),
        body="digits = []\nwhile @a > 0:\n    d = @a % {k}\n    digits.append({m[d]})\n    @a //= {k}\nreturn digits",
    ),
    Family(
        name="largest_power",
        names=("largest_power_of_{k}", "power_below", "grow_to"),
        takes=(NATURAL,),
        returns="int",
        slots={"s": constants(range(1, 8)), "k": constants(range(2, 10)), "d": constants(range(8))},
        docs=(
            "Start with {s}; as long as it is less than @a, multiply it by {k} and add {d}. Return the result.",
            "From {s}, repeat 'times {k} plus {d}' until the value is at least @a, and return it.",
        ),
        body="value = {s}\nwhile value < @a:\n    value = value * {k} + {d}\nreturn value",
    ),
    Family(
        name="in_range_check",
        names=("is_{p.name}_and_{q.name}", "is_valid", "accept"),
        takes=(INTEGER,),
        returns="bool",
        slots={"p": PREDICATES, "q": PREDICATES},
        docs=(
            "Tell whether @a is {p} but not {q}.",
            "Return True exactly when @a is {p} and is not {q}.",
        ),
        body="return {p[@a]} and not ({q[@a]})",
        allows=lambda c: c["p"] is not c["q"],
    ),
)
