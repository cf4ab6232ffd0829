"""Kinds of arguments: how they are annotated and named, how random values are drawn, which are edge cases.

Values are drawn near the member's hints (its constants and letters), so that examples and tests tell
`x > 5` from `x >= 5`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Hints = tuple[int | str, ...]
Draw = Callable[[random.Random, Hints, int], Any]

WORDS = [
    "apple",
    "band",
    "cat",
    "dog",
    "echo",
    "fox",
    "green",
    "hat",
    "ink",
    "jolt",
    "kite",
    "lemon",
    "map",
    "noon",
    "orange",
    "pear",
    "queen",
    "river",
    "stone",
    "tree",
    "umbra",
    "violet",
    "water",
    "yes",
    "zoo",
    "ant",
    "bee",
    "sun",
    "level",
    "red",
    "blue",
    "radar",
    "sea",
    "art",
    "lime",
    "go",
    "on",
    "up",
    "it",
    "we",
    "table",
    "lamp",
    "Anna",
    "Bob",
    "Paris",
    "MAP",
    "RED",
    "NOTE",
    "Oslo",
    "a",
    "I",
    "x",
    "data",
    "code",
    "test",
    "line",
    "word",
    "list",
    "train",
    "street",
    "rust",
    "salt",
    "tool",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """`draw(rng, hints, size)` makes a value of at most about `size` parts."""

    annotation: str
    names: tuple[str, ...]
    draw: Draw
    edges: tuple[Any, ...]


def _integer(rng: random.Random, hints: Hints, size: int) -> int:
    near = [hint for hint in hints if isinstance(hint, int)]
    if near and rng.random() < 0.45:
        return rng.choice(near) + rng.randint(-1, 1)
    return rng.randint(-12, 30) if rng.random() < 0.8 else rng.randint(-40, 99)


def _natural(rng: random.Random, hints: Hints, size: int) -> int:
    return abs(_integer(rng, hints, size)) if rng.random() < 0.7 else rng.randint(0, 40)


def _large(rng: random.Random, hints: Hints, size: int) -> int:
    return rng.randint(0, 10 ** rng.randint(1, 6))


def _small(rng: random.Random, hints: Hints, size: int) -> int:
    return rng.randint(0, 12)


def _integers(rng: random.Random, hints: Hints, size: int) -> list[int]:
    values = [_integer(rng, hints, size) for _ in range(rng.randint(max(0, size - 3), size + 1))]
    if len(values) > 2 and rng.random() < 0.35:  # a repeated value
        values[rng.randrange(len(values))] = values[0]
    return values


def _naturals(rng: random.Random, hints: Hints, size: int) -> list[int]:
    return [abs(value) for value in _integers(rng, hints, size)]


def _word(rng: random.Random, hints: Hints, size: int) -> str:
    word = rng.choice(WORDS)
    near = [hint for hint in hints if isinstance(hint, str) and hint]
    if near and rng.random() < 0.45:
        hint = rng.choice(near)
        word = rng.choice((hint + word, word + hint, word[:2] + hint + word[2:], hint))
    lengths = [hint for hint in hints if isinstance(hint, int) and 1 < hint < 9]
    if lengths and rng.random() < 0.35:
        word = (word + rng.choice(WORDS) + rng.choice(WORDS))[
            : max(1, rng.choice(lengths) + rng.randint(-1, 1))
        ]
    return word


def _plain_word(rng: random.Random, hints: Hints, size: int) -> str:
    return "".join(c for c in _word(rng, hints, size).lower() if c.isalpha())


def _words(rng: random.Random, hints: Hints, size: int) -> list[str]:
    words = [_word(rng, hints, size) for _ in range(rng.randint(max(0, size - 3), size))]
    if len(words) > 2 and rng.random() < 0.3:
        words[-1] = words[0]
    return words


def _text(rng: random.Random, hints: Hints, size: int) -> str:
    near = [hint for hint in hints if isinstance(hint, str) and hint]
    parts = []
    for _ in range(rng.randint(1, 3)):
        word = rng.choice(WORDS)
        roll = rng.random()
        if near and roll < 0.5:
            cut = rng.randint(0, len(word))
            word = word[:cut] + rng.choice(near) + word[cut:]
        elif roll < 0.7:
            word += str(rng.randint(0, 99))
        elif roll < 0.85:
            word = word.swapcase()
        parts.append(word)
    return rng.choice((" ", " ", "", "-")).join(parts)


def _lower_text(rng: random.Random, hints: Hints, size: int) -> str:
    return _text(rng, hints, size).lower()


def _sentence(rng: random.Random, hints: Hints, size: int) -> str:
    return " ".join(word for word in _words(rng, hints, size + 1) if " " not in word)


def _letters(rng: random.Random, hints: Hints, size: int) -> str:
    """Few different letters with runs, for run lengths and counts."""
    letters = rng.sample("abcdxyz", 3)
    return "".join(rng.choice(letters) * rng.randint(1, 3) for _ in range(rng.randint(1, 4)))


def _scores(rng: random.Random, hints: Hints, size: int) -> dict[str, int]:
    names = [_word(rng, hints, size) for _ in range(rng.randint(max(0, size - 3), size - 1))]
    return {name: _integer(rng, hints, size) for name in names}


NUMBERS = Kind(
    annotation="list[int]",
    names=("numbers", "values", "nums", "items", "data"),
    draw=_integers,
    edges=([], [0], [1], [-1], [2, 2], [5, -5, 0, 5, 12], [-3, -2, -1], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
)
NATURALS = Kind(annotation="list[int]", names=NUMBERS.names, draw=_naturals, edges=([], [0], [1], [7, 7]))
OTHERS = Kind(
    annotation="list[int]",
    names=("others", "second", "ys", "right", "other"),
    draw=_integers,
    edges=([], [0], [3], [1, 2, 3, 4, 5, 6, 7, 8], [5, 5]),
)
INTEGER = Kind(
    annotation="int", names=("x", "n", "value", "number"), draw=_integer, edges=(0, 1, -1, 2, 10, 100, -50)
)
OTHER_INTEGER = Kind(
    annotation="int", names=("y", "m", "other", "b"), draw=_integer, edges=(0, 1, -1, 3, 10, 77)
)
NATURAL = Kind(
    annotation="int", names=("n", "limit", "number", "k"), draw=_natural, edges=(0, 1, 2, 3, 10, 25, 40)
)
LARGE = Kind(
    annotation="int", names=("n", "number", "value"), draw=_large, edges=(0, 1, 9, 10, 99, 1230, 905, 777777)
)
SMALL = Kind(annotation="int", names=("n", "index", "k", "steps"), draw=_small, edges=(0, 1, 2, 3, 5, 8, 11))
TEXT = Kind(
    annotation="str",
    names=("text", "s", "string", "line"),
    draw=_text,
    edges=("", "a", "Z", " ", "7", "Hello World 42", "aeiou AEIOU", "xyz123", "A-b C_d!"),
)
LOWER_TEXT = Kind(
    annotation="str", names=TEXT.names, draw=_lower_text, edges=("", "a", "z", "xyz abc", "hello, world 9")
)
RUNS = Kind(
    annotation="str",
    names=TEXT.names,
    draw=_letters,
    edges=("", "a", "aa", "ab", "aabbb", "abcabc", "xxyyyx"),
)
SENTENCE = Kind(
    annotation="str",
    names=("text", "sentence", "line", "phrase"),
    draw=_sentence,
    edges=("", "word", "a b c", "the quick brown fox", "noon level MAP Bob", "one two three four five"),
)
STRINGS = Kind(
    annotation="list[str]",
    names=("words", "strings", "names", "tokens"),
    draw=_words,
    edges=([], ["a"], ["level", "noon", "RED"], ["tree", "tree"], ["ab", "abc", "abcd", "abcde", "abcdefgh"]),
)
SCORES = Kind(
    annotation="dict[str, int]",
    names=("scores", "counts", "prices", "stock", "table"),
    draw=_scores,
    edges=({}, {"a": 0}, {"b": 1, "a": 1}, {"tree": -4, "noon": 12, "RED": 7}, {"x": 30, "yy": 5, "zzz": 6}),
)
MORE_SCORES = Kind(
    annotation="dict[str, int]",
    names=("other", "extra", "second", "update"),
    draw=_scores,
    edges=({}, {"a": 5}, {"b": 3, "c": 1}, {"tree": 2, "noon": 20}, {"x": 1}),
)
