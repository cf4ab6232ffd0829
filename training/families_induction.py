"""Families whose docstring leaves the rule to the examples: the hard part of the task.

There are always three examples. The evaluation keeps only problems whose examples fit no other member of
the family.
"""

# Templates of docstrings and bodies are kept whole, on one line each.
# ruff: noqa: E501

from training.arguments import INTEGER, LARGE, NUMBERS, OTHER_INTEGER, STRINGS, TEXT
from training.blocks import CHARACTERS, WORD_MAPS, Block, constants
from training.families_pipelines import COMMON_STEPS
from training.family import Family

THREE = (3,)


def _signed(name: str, values: range) -> tuple[Block, ...]:
    """Code that adds a constant: ` + 3`, ` - 4`."""
    return tuple(
        Block(
            name=f"{name}_{v}".replace("-", "minus_"),
            code=f" + {v}" if v >= 0 else f" - {-v}",
            words=("",),
        )
        for v in values
        if v
    )


PAIR_RULES = (
    *(
        Block(name=f"{a}x_plus_{b}y", code=f"{a} * x + {b} * y", words=("",))
        for a in range(1, 8)
        for b in range(1, 8)
    ),
    *(
        Block(name=f"{a}x_minus_{b}y", code=f"{a} * x - {b} * y", words=("",))
        for a in range(1, 8)
        for b in range(1, 8)
    ),
    *(Block(name=f"sum_plus_{k}", code=f"x + y + {k}", words=("",)) for k in range(1, 31)),
    *(Block(name=f"larger_plus_{k}", code=f"max(x, y) + {k}", words=("",)) for k in range(1, 31)),
    *(Block(name=f"smaller_minus_{k}", code=f"min(x, y) - {k}", words=("",)) for k in range(1, 31)),
    *(Block(name=f"distance_times_{k}", code=f"abs(x - y) * {k}", words=("",)) for k in range(1, 8)),
)
LIST_FOLDS = (
    Block(name="sum", code="sum(@x)", words=("",)),
    Block(name="count", code="len(@x)", words=("",)),
    Block(name="largest", code="max(@x, default=0)", words=("",)),
    Block(name="smallest", code="min(@x, default=0)", words=("",)),
    Block(name="distinct", code="len(set(@x))", words=("",)),
    Block(name="squares", code="sum(x**2 for x in @x)", words=("",)),
    Block(name="even", code="sum(1 for x in @x if x % 2 == 0)", words=("",)),
    Block(name="positive", code="sum(x for x in @x if x > 0)", words=("",)),
    Block(name="absolute", code="sum(abs(x) for x in @x)", words=("",)),
)
DIGIT_FOLDS = (
    Block(name="sum", code="sum(digits)", words=("",)),
    Block(name="count", code="len(digits)", words=("",)),
    Block(name="largest", code="max(digits)", words=("",)),
    Block(name="smallest", code="min(digits)", words=("",)),
    Block(name="first", code="digits[0]", words=("",)),
    Block(name="last", code="digits[-1]", words=("",)),
    Block(name="ends", code="digits[0] + digits[-1]", words=("",)),
    Block(name="spread", code="max(digits) - min(digits)", words=("",)),
)

INDUCTION_FAMILIES: tuple[Family, ...] = (
    Family(
        name="rule_affine",
        names=("rule", "apply_rule", "line"),
        takes=(INTEGER,),
        returns="int",
        slots={"k": constants(range(2, 10)), "d": _signed("plus", range(-20, 21))},
        docs=(
            "Find the rule in the examples: @a is multiplied by a constant and another one is added.",
            "Multiply @a by one number and add or subtract a second one, as the examples do.",
        ),
        body="return {k} * @a{d.code}",
        examples=THREE,
        weight=6,
    ),
    Family(
        name="rule_plus",
        names=("rule", "shift_all", "apply_rule"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"d": _signed("plus", range(-60, 61))},
        docs=(
            "Change every number of @a by the same amount, as the examples show.",
            "The examples add a constant to each element. Do the same.",
        ),
        body="return [x{d.code} for x in @a]",
        examples=THREE,
        weight=3,
    ),
    Family(
        name="rule_affine_list",
        names=("rule", "apply_rule", "scale_and_shift"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={
            "k": constants(range(2, 9)),
            "d": _signed("plus", range(-9, 10)),
        },
        docs=(
            "Each number of @a is multiplied by a constant and changed by a second one, as in the examples.",
            "Find the two constants of the examples: multiply every element by one, then add the other.",
        ),
        body="return [{k} * x{d.code} for x in @a]",
        examples=THREE,
        weight=5,
    ),
    Family(
        name="rule_strings",
        names=("rule", "apply_rule", "change_like_this"),
        takes=(STRINGS,),
        returns="list[str]",
        slots={"v": WORD_MAPS},
        docs=(
            "Change each string of @a in the way of the examples.",
            "The examples show what happens to every string. Do the same.",
        ),
        body="return [{v[s]} for s in @a]",
        examples=THREE,
        weight=4,
    ),
    Family(
        name="rule_two_strings",
        names=("rule", "apply_rule", "change_like_this"),
        takes=(STRINGS,),
        returns="list[str]",
        slots={"s": COMMON_STEPS, "v": WORD_MAPS},
        docs=(
            "The examples first choose or reorder the strings of @a and then change each. Do the same.",
            "Find both steps of the examples: what they take from the list, and how each string is changed.",
        ),
        body="result = {s[@a]}\nreturn [{v[s]} for s in result]",
        examples=THREE,
        weight=5,
    ),
    Family(
        name="rule_lists",
        names=("rule", "apply_rule", "rearrange"),
        takes=(NUMBERS,),
        returns="list[int]",
        slots={"s": COMMON_STEPS, "d": _signed("plus", range(-9, 10))},
        docs=(
            "The examples choose or reorder the numbers of @a and add a constant to each. Do the same.",
            "Find both steps of the examples: what is taken from the list, and what is added to each element.",
        ),
        body="result = {s[@a]}\nreturn [x{d.code} for x in result]",
        examples=THREE,
        weight=5,
    ),
    Family(
        name="rule_characters",
        names=("rule", "apply_rule", "keep_like_this"),
        takes=(TEXT,),
        returns="str",
        slots={"c": CHARACTERS[:9], "v": WORD_MAPS},
        docs=(
            "Keep the kind of characters that the examples keep, and change the result as they do.",
            "The examples drop some characters of @a and then change what is left. Do the same.",
        ),
        body='kept = "".join(c for c in @a if {c[c]})\nreturn {v[kept]}',
        examples=THREE,
        weight=4,
    ),
    Family(
        name="rule_pair",
        names=("rule", "apply_rule", "operation"),
        takes=(INTEGER, OTHER_INTEGER),
        returns="int",
        slots={"o": PAIR_RULES},
        docs=(
            "Combine @a and @b as the examples do.",
            "The examples show an operation on two numbers. Return its result for @a and @b.",
        ),
        body="x, y = @a, @b\nreturn {o.code}",
        examples=THREE,
        weight=4,
    ),
    Family(
        name="rule_fold",
        names=("rule", "apply_rule", "number_of_list"),
        takes=(NUMBERS,),
        returns="int",
        slots={"f": LIST_FOLDS, "d": _signed("plus", range(-9, 10))},
        docs=(
            "The examples make one number of a list and add a constant. Do the same with @a.",
            "Find out what the examples compute from the list and which constant they add.",
        ),
        body="return {f[@a]}{d.code}",
        examples=THREE,
        weight=4,
    ),
    Family(
        name="rule_digits",
        names=("rule", "apply_rule", "digit_rule"),
        takes=(LARGE,),
        returns="int",
        slots={"f": DIGIT_FOLDS, "d": _signed("plus", range(-9, 10))},
        docs=(
            "The examples compute something from the decimal digits of @a and add a constant. Do the same.",
            "Find the rule on the digits of @a in the examples, and the number that is added to it.",
        ),
        body="digits = [int(d) for d in str(@a)]\nreturn {f.code}{d.code}",
        examples=THREE,
        weight=4,
    ),
)
