"""The vocabulary of the generator: predicates, maps, reductions and steps, each as code and as English.

A Block is code over the placeholder `@x` and several ways to say it. Families combine blocks; nothing
here knows of functions, docstrings or tests.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`hints` are the constants and letters near which inputs are interesting."""

    name: str  # an identifier: part of function names and of the parameters' key
    code: str
    words: tuple[str, ...]
    hints: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worded:
    """A block with one of its wordings chosen, for format templates: {p} in English, {p[x]} code on x."""

    block: Block
    words: str

    def __str__(self) -> str:
        return self.words

    def __getitem__(self, variable: str) -> str:
        return self.block.code.replace("@x", variable)

    @property
    def name(self) -> str:
        return self.block.name

    @property
    def code(self) -> str:
        return self.block.code


def constants(values: Iterable[int]) -> tuple[Block, ...]:
    """Integers as blocks; their wording is the number itself."""
    return tuple(
        Block(name=str(k).replace("-", "minus_"), code=str(k), words=(str(k),), hints=(k,)) for k in values
    )


def literals(values: Iterable[str], names: Iterable[str]) -> tuple[Block, ...]:
    """Strings as blocks: code and wording are the quoted text."""
    pairs = zip(values, names, strict=True)
    return tuple(Block(name=name, code=f'"{v}"', words=(f"'{v}'",), hints=(v,)) for v, name in pairs)


# ---- integers: "numbers that are {p}", "if x is {p}" ------------------------------------------------

PARITIES = (
    Block(name="even", code="@x % 2 == 0", words=("even",)),
    Block(name="odd", code="@x % 2 == 1", words=("odd",)),
)
SIGNS = (
    Block(name="positive", code="@x > 0", words=("positive", "above zero")),
    Block(name="negative", code="@x < 0", words=("negative", "below zero")),
)


def _comparisons(k: int) -> tuple[Block, ...]:
    return (
        Block(
            name=f"above_{k}",
            code=f"@x > {k}",
            words=(f"greater than {k}", f"larger than {k}", f"above {k}"),
            hints=(k,),
        ),
        Block(
            name=f"below_{k}",
            code=f"@x < {k}",
            words=(f"less than {k}", f"smaller than {k}", f"below {k}"),
            hints=(k,),
        ),
        Block(name=f"at_least_{k}", code=f"@x >= {k}", words=(f"at least {k}", f"{k} or more"), hints=(k,)),
        Block(name=f"at_most_{k}", code=f"@x <= {k}", words=(f"at most {k}", f"{k} or less"), hints=(k,)),
    )


def _divisions(k: int) -> tuple[Block, ...]:
    return (
        Block(
            name=f"multiple_of_{k}",
            code=f"@x % {k} == 0",
            words=(f"divisible by {k}", f"evenly divisible by {k}"),
            hints=(k,),
        ),
        Block(
            name=f"not_multiple_of_{k}",
            code=f"@x % {k} != 0",
            words=(f"not divisible by {k}", f"not evenly divisible by {k}"),
            hints=(k,),
        ),
    )


def _between(low: int, high: int) -> Block:
    words = (f"between {low} and {high} inclusive", f"at least {low} and at most {high}")
    return Block(name=f"from_{low}_to_{high}", code=f"{low} <= @x <= {high}", words=words, hints=(low, high))


COMPARISONS = tuple(block for k in range(1, 31) for block in _comparisons(k))
DIVISIONS = tuple(block for k in range(3, 12) for block in _divisions(k))
RANGES = tuple(_between(low, high) for low in range(1, 13) for high in range(low + 3, low + 12, 2))
PREDICATES = PARITIES * 6 + SIGNS * 4 + COMPARISONS + DIVISIONS * 3 + RANGES
DIGIT_PREDICATES = (
    *PARITIES * 2,
    *(block for k in range(1, 9) for block in _comparisons(k)),
    *_divisions(3),
)
SMALL_PREDICATES = (*PARITIES, *(b for k in range(3, 12) for b in _divisions(k)))


# ---- integers: "each number {m}" ---------------------------------------------------------------------


def _maps_with(k: int) -> tuple[Block, ...]:
    return (
        Block(name=f"plus_{k}", code=f"@x + {k}", words=(f"increased by {k}", f"plus {k}")),
        Block(name=f"minus_{k}", code=f"@x - {k}", words=(f"decreased by {k}", f"minus {k}")),
        Block(
            name=f"times_{k + 1}", code=f"@x * {k + 1}", words=(f"multiplied by {k + 1}", f"times {k + 1}")
        ),
        Block(
            name=f"modulo_{k + 2}",
            code=f"@x % {k + 2}",
            words=(f"modulo {k + 2}", f"reduced to its remainder modulo {k + 2}"),
        ),
        Block(name=f"over_{k + 1}", code=f"@x // {k + 1}", words=(f"divided by {k + 1}, rounding down",)),
        Block(
            name=f"up_to_{k}",
            code=f"min(@x, {k})",
            words=(f"limited to at most {k}", f"capped at {k}"),
            hints=(k,),
        ),
        Block(name=f"from_{k}", code=f"max(@x, {k})", words=(f"raised to at least {k}",), hints=(k,)),
    )


def _affine(a: int, b: int) -> tuple[Block, ...]:
    return (
        Block(
            name=f"times_{a}_plus_{b}",
            code=f"{a} * @x + {b}",
            words=(f"multiplied by {a} and then increased by {b}",),
        ),
        Block(
            name=f"times_{a}_minus_{b}",
            code=f"{a} * @x - {b}",
            words=(f"multiplied by {a} and then decreased by {b}",),
        ),
    )


PLAIN_MAPS = (
    Block(name="squared", code="@x**2", words=("squared", "raised to the power 2")),
    Block(name="cubed", code="@x**3", words=("cubed", "raised to the power 3")),
    Block(name="negated", code="-@x", words=("negated", "with its sign flipped")),
    Block(name="absolute", code="abs(@x)", words=("without its sign", "replaced by its absolute value")),
)
AFFINE_MAPS = tuple(block for a in range(2, 8) for b in range(1, 10, 2) for block in _affine(a, b))
MAPS = (*PLAIN_MAPS * 4, *(b for k in range(1, 13) for b in _maps_with(k)), *AFFINE_MAPS)

# ---- integers: keys to order by, "by {key}" ----------------------------------------------------------

NUMBER_KEYS = (
    Block(name="absolute_value", code="abs(@x)", words=("absolute value",)),
    Block(name="last_digit", code="abs(@x) % 10", words=("last digit", "units digit")),
    *(
        Block(
            name=f"distance_from_{k}",
            code=f"abs(@x - {k})",
            words=(f"distance from {k}", f"how far they are from {k}"),
            hints=(k,),
        )
        for k in range(2, 25)
    ),
    *(
        Block(name=f"remainder_{k}", code=f"@x % {k}", words=(f"remainder modulo {k}",), hints=(k,))
        for k in range(3, 12)
    ),
)

# ---- characters: "the {c}" ---------------------------------------------------------------------------

LETTERS = "abcdefghijklmnoprstuw"
LETTER_SETS = ("abc", "xyz", "aeo", "rst", "lmn", "bdp", "acegi", "mnop", "str", "ehl", "dot", "pqr")
CHARACTERS = (
    Block(
        name="vowels", code='@x in "aeiou"', words=("lowercase vowels", "vowels (aeiou)"), hints=("a", "e")
    ),
    Block(
        name="consonants",
        code='@x.isalpha() and @x not in "aeiouAEIOU"',
        words=("consonants", "letters that are not vowels"),
        hints=("t", "R"),
    ),
    Block(name="digits", code="@x.isdigit()", words=("digits",), hints=("3", "8")),
    Block(name="letters", code="@x.isalpha()", words=("letters", "alphabetic characters"), hints=("a", "7")),
    Block(
        name="uppercase",
        code="@x.isupper()",
        words=("uppercase letters", "capital letters"),
        hints=("A", "Q"),
    ),
    Block(
        name="lowercase", code="@x.islower()", words=("lowercase letters", "small letters"), hints=("B", "q")
    ),
    Block(name="spaces", code='@x == " "', words=("spaces",), hints=(" ",)),
    Block(
        name="non_digits", code="not @x.isdigit()", words=("characters other than digits",), hints=("4", "0")
    ),
    Block(name="alphanumerics", code="@x.isalnum()", words=("letters and digits",), hints=("4", "-", "!")),
    *(
        Block(
            name=f"letter_{c}",
            code=f'@x == "{c}"',
            words=(f"characters equal to '{c}'", f"occurrences of '{c}'"),
            hints=(c, c, c.upper()),
        )
        for c in LETTERS
    ),
    *(
        Block(
            name=f"in_{s}",
            code=f'@x in "{s}"',
            words=(f"characters that occur in '{s}'", f"characters among '{s}'"),
            hints=tuple(s),
        )
        for s in LETTER_SETS
    ),
    *(
        Block(
            name=f"not_in_{s}",
            code=f'@x not in "{s}"',
            words=(f"characters that do not occur in '{s}'", f"characters not among '{s}'"),
            hints=tuple(s),
        )
        for s in LETTER_SETS
    ),
    *(
        Block(
            name=f"after_{c}",
            code=f'@x > "{c}"',
            words=(f"characters greater than '{c}'", f"characters that come after '{c}'"),
            hints=(c, chr(ord(c) + 1)),
        )
        for c in "cfhkmprt"
    ),
)

# ---- words: "words {w}" -------------------------------------------------------------------------------

WORD_PREDICATES = (
    *(
        Block(
            name=f"longer_than_{k}",
            code=f"len(@x) > {k}",
            words=(f"longer than {k} characters", f"of more than {k} characters"),
            hints=(k,),
        )
        for k in range(2, 8)
    ),
    *(
        Block(
            name=f"shorter_than_{k}",
            code=f"len(@x) < {k}",
            words=(f"shorter than {k} characters", f"of fewer than {k} characters"),
            hints=(k,),
        )
        for k in range(3, 9)
    ),
    *(
        Block(name=f"length_{k}", code=f"len(@x) == {k}", words=(f"of exactly {k} characters",), hints=(k,))
        for k in range(2, 8)
    ),
    Block(name="even_length", code="len(@x) % 2 == 0", words=("of even length",)),
    Block(name="odd_length", code="len(@x) % 2 == 1", words=("of odd length",)),
    Block(
        name="palindromic",
        code="@x == @x[::-1]",
        words=("that read the same backwards",),
        hints=("level", "noon"),
    ),
    Block(name="uppercase", code="@x.isupper()", words=("written in capitals",), hints=("RED", "MAP")),
    *(
        Block(
            name=f"starting_{c}",
            code=f'@x.startswith("{c}")',
            words=(f"starting with '{c}'", f"beginning with '{c}'"),
            hints=(c, c),
        )
        for c in LETTERS
    ),
    *(
        Block(
            name=f"ending_{c}",
            code=f'@x.endswith("{c}")',
            words=(f"ending with '{c}'", f"ending in '{c}'"),
            hints=(c, c),
        )
        for c in LETTERS
    ),
    *(
        Block(
            name=f"with_{c}",
            code=f'"{c}" in @x',
            words=(f"containing '{c}'", f"with a '{c}' in them"),
            hints=(c, c),
        )
        for c in LETTERS
    ),
    *(
        Block(
            name=f"without_{c}",
            code=f'"{c}" not in @x',
            words=(f"not containing '{c}'", f"without any '{c}'"),
            hints=(c, c),
        )
        for c in LETTERS
    ),
)

# ---- words: "each word {v}" ---------------------------------------------------------------------------

WORD_MAPS = (
    Block(name="upper", code="@x.upper()", words=("in upper case", "converted to upper case")),
    Block(name="lower", code="@x.lower()", words=("in lower case", "converted to lower case")),
    Block(name="capitalized", code="@x.capitalize()", words=("capitalized", "with a capital first letter")),
    Block(name="reversed", code="@x[::-1]", words=("reversed", "written backwards")),
    Block(name="doubled", code="@x * 2", words=("repeated twice",)),
    Block(name="without_first", code="@x[1:]", words=("without its first character",)),
    Block(name="without_last", code="@x[:-1]", words=("without its last character",)),
    Block(name="turned", code="@x[1:] + @x[:1]", words=("with its first character moved to the end",)),
    Block(name="mirrored", code="@x + @x[::-1]", words=("followed by its reverse",)),
    *(
        Block(
            name=f"first_{k}",
            code=f"@x[:{k}]",
            words=(f"cut to its first {k} characters", f"shortened to {k} characters"),
        )
        for k in range(1, 6)
    ),
    *(
        Block(name=f"last_{k}", code=f"@x[-{k}:]", words=(f"cut to its last {k} characters",))
        for k in range(1, 6)
    ),
    *(
        Block(
            name=f"replace_{a}_{b}",
            code=f'@x.replace("{a}", "{b}")',
            words=(f"with every '{a}' replaced by '{b}'",),
            hints=(a, a, b),
        )
        for a in "aeiorst"
        for b in "ouxzk*-"
        if a != b
    ),
    *(
        Block(name=f"suffix_{i}", code=f'@x + "{s}"', words=(f"followed by '{s}'", f"with '{s}' appended"))
        for i, s in enumerate(("s", "!", "ing", "ed", "?", "-", "er", "..", "_x"))
    ),
    *(
        Block(name=f"prefix_{i}", code=f'"{s}" + @x', words=(f"preceded by '{s}'", f"with '{s}' in front"))
        for i, s in enumerate(("re", "#", "un", "@", "my_", "-", "no", "x"))
    ),
)

WORD_KEYS = (
    Block(name="length", code="len(@x)", words=("length", "number of characters")),
    Block(name="last_character", code="@x[-1]", words=("last character", "final character")),
    Block(name="reversed_text", code="@x[::-1]", words=("reversed spelling",)),
    Block(name="lower_text", code="@x.lower()", words=("lower-case form",)),
    *(
        Block(name=f"count_{c}", code=f'@x.count("{c}")', words=(f"number of '{c}' in them",), hints=(c, c))
        for c in "aeiorstln"
    ),
)
