"""Families of two and three steps in a row, on lists of integers and on lists of strings."""

from itertools import pairwise

from training.arguments import NUMBERS, STRINGS
from training.blocks import MAPS, NUMBER_KEYS, PREDICATES, WORD_KEYS, WORD_MAPS, WORD_PREDICATES, Block
from training.family import Family

COMMON_STEPS = (
    *(
        Block(name=f"take_{k}", code=f"@x[:{k}]", words=(f"take the first {k}", f"keep the first {k} only"))
        for k in range(2, 6)
    ),
    *(
        Block(name=f"drop_{k}", code=f"@x[{k}:]", words=(f"drop the first {k}", f"skip {k} at the start"))
        for k in range(1, 4)
    ),
    *(
        Block(name=f"cut_{k}", code=f"@x[:-{k}]", words=(f"drop the last {k}", f"remove {k} at the end"))
        for k in range(1, 4)
    ),
    *(
        Block(name=f"last_{k}", code=f"@x[-{k}:]", words=(f"take the last {k}", f"keep the last {k} only"))
        for k in range(2, 6)
    ),
    Block(name="reverse", code="@x[::-1]", words=("reverse the order", "turn the order around")),
    Block(name="other", code="@x[::2]", words=("take every second one, beginning with the first",)),
    Block(
        name="distinct", code="list(dict.fromkeys(@x))", words=("remove repeats, keeping the first of each",)
    ),
    Block(name="sort", code="sorted(@x)", words=("sort in ascending order", "sort from small to large")),
    Block(name="sort_down", code="sorted(@x, reverse=True)", words=("sort in descending order",)),
)


def _steps(
    variable: str, predicates: tuple[Block, ...], maps: tuple[Block, ...], keys: tuple[Block, ...], each: str
) -> tuple[Block, ...]:
    """Steps on a list `@x` of `each`; about as many filters and maps as other steps are drawn."""
    filters = tuple(
        Block(
            name=f"keep_{p.name}",
            code=f"[{variable} for {variable} in @x if {p.code.replace('@x', variable)}]",
            words=tuple(f"keep only {each} {w}" for w in p.words),
            hints=p.hints,
        )
        for p in predicates
    )
    changes = tuple(
        Block(
            name=f"each_{m.name}",
            code=f"[{m.code.replace('@x', variable)} for {variable} in @x]",
            words=tuple(f"take each {w}" for w in m.words),
            hints=m.hints,
        )
        for m in maps
    )
    orders = tuple(
        Block(
            name=f"by_{q.name}",
            code=f"sorted(@x, key=lambda {variable}: {q.code.replace('@x', variable)})",
            words=tuple(f"sort by {w}" for w in q.words),
            hints=q.hints,
        )
        for q in keys
    )
    repeat = max(1, len(filters) // (2 * len(COMMON_STEPS)))
    return filters + changes + orders + COMMON_STEPS * repeat


NUMBER_STEPS = _steps("x", tuple(dict.fromkeys(PREDICATES)), MAPS, NUMBER_KEYS, "numbers that are")
STRING_STEPS = _steps("s", WORD_PREDICATES, WORD_MAPS, WORD_KEYS[:1] + WORD_KEYS[2:], "strings")

NUMBER_ENDS = (
    Block(name="list", code="@x", words=("the resulting list", "what is left as a list")),
    Block(name="sum", code="sum(@x)", words=("the sum of what is left", "the total of the result")),
    Block(name="count", code="len(@x)", words=("how many numbers are left", "the length of the result")),
    Block(name="max", code="max(@x, default=0)", words=("the largest number left, or 0 if none is",)),
    Block(name="min", code="min(@x, default=0)", words=("the smallest number left, or 0 if none is",)),
)
STRING_ENDS = (
    Block(name="list", code="@x", words=("the resulting list", "what is left as a list")),
    Block(name="joined", code='"".join(@x)', words=("the strings left joined into one",)),
    Block(name="spaced", code='" ".join(@x)', words=("the strings left joined by spaces",)),
    Block(name="count", code="len(@x)", words=("how many strings are left", "the length of the result")),
    Block(name="characters", code="sum(len(s) for s in @x)", words=("the total number of characters left",)),
)


def _kind(block: Block) -> str:
    return block.name.split("_")[0]


def _differ(chosen: dict[str, Block]) -> bool:
    """Neighbouring steps are of different kinds."""
    kinds = [_kind(chosen[slot]) for slot in ("s", "t", "u") if slot in chosen]
    return all(first != second for first, second in pairwise(kinds))


TWO_STEP_DOCS = (
    "From @a, first {s}, then {t}. Return {e}.",
    "Process @a in two steps: {s}; {t}. Return {e}.",
    "Do this with @a: {s}, and after that {t}. The answer is {e}.",
)
THREE_STEP_DOCS = (
    "From @a, first {s}, then {t}, finally {u}. Return {e}.",
    "Process @a in three steps: {s}; {t}; {u}. Return {e}.",
    "Do this with @a: {s}, after that {t}, and at last {u}. The answer is {e}.",
)
TWO_STEPS = "result = {s[@a]}\nresult = {t[result]}\nreturn {e[result]}"
THREE_STEPS = "result = {s[@a]}\nresult = {t[result]}\nresult = {u[result]}\nreturn {e[result]}"
NAMES = ("pipeline", "process", "run_steps", "solve")

PIPELINE_FAMILIES: tuple[Family, ...] = (
    Family(
        name="two_number_steps",
        names=NAMES,
        takes=(NUMBERS,),
        returns="object",
        slots={"s": NUMBER_STEPS, "t": NUMBER_STEPS, "e": NUMBER_ENDS},
        docs=TWO_STEP_DOCS,
        body=TWO_STEPS,
        weight=6,
        allows=_differ,
    ),
    Family(
        name="three_number_steps",
        names=NAMES,
        takes=(NUMBERS,),
        returns="object",
        slots={"s": NUMBER_STEPS, "t": NUMBER_STEPS, "u": NUMBER_STEPS, "e": NUMBER_ENDS},
        docs=THREE_STEP_DOCS,
        body=THREE_STEPS,
        weight=6,
        allows=_differ,
    ),
    Family(
        name="two_string_steps",
        names=NAMES,
        takes=(STRINGS,),
        returns="object",
        slots={"s": STRING_STEPS, "t": STRING_STEPS, "e": STRING_ENDS},
        docs=TWO_STEP_DOCS,
        body=TWO_STEPS,
        weight=5,
        allows=_differ,
    ),
    Family(
        name="three_string_steps",
        names=NAMES,
        takes=(STRINGS,),
        returns="object",
        slots={"s": STRING_STEPS, "t": STRING_STEPS, "u": STRING_STEPS, "e": STRING_ENDS},
        docs=THREE_STEP_DOCS,
        body=THREE_STEPS,
        weight=5,
        allows=_differ,
    ),
)
