"""The stream of problems, split so that no solution of the evaluation is ever in training.

The split is a hash of a member's canonical body with placeholder names: every (family, parameters) with
that body, in every phrasing, is in the same part. So no part can hold a member of another one, however
many examples are drawn. Within a part, examples are drawn from a seed and a chunk number alone.
"""

import hashlib
import random
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

from training.families_induction import INDUCTION_FAMILIES
from training.families_integers import INTEGER_FAMILIES
from training.families_lists import LIST_FAMILIES
from training.families_pipelines import PIPELINE_FAMILIES
from training.families_tables import TABLE_FAMILIES
from training.families_text import TEXT_FAMILIES
from training.family import Example, Family, Member, draw_member, phrase

FAMILIES: tuple[Family, ...] = (
    *LIST_FAMILIES,
    *INTEGER_FAMILIES,
    *TEXT_FAMILIES,
    *TABLE_FAMILIES,
    *PIPELINE_FAMILIES,
    *INDUCTION_FAMILIES,
)
WEIGHTS = tuple(family.weight for family in FAMILIES)
MAX_CHARACTERS = 1100  # of prompt and solution; longer ones are drawn again


class Part(StrEnum):
    TRAINING = "training"
    VALIDATION = "validation"
    EVALUATION = "evaluation"


@lru_cache(maxsize=200_000)
def _part_of_body(body: str) -> Part:
    value = int.from_bytes(hashlib.sha256(body.encode()).digest()[:4], "big") / 2**32
    if value < 0.06:
        return Part.EVALUATION
    return Part.VALIDATION if value < 0.12 else Part.TRAINING


def part_of(member: Member) -> Part:
    """The part that this member belongs to, whatever its phrasing."""
    return _part_of_body(member.body)


def draw_from(part: Part, family: Family, rng: random.Random) -> Member:
    """A member of the family that belongs to the part."""
    for _ in range(100_000):
        member = draw_member(family, rng)
        if part_of(member) is part:
            return member
    raise ValueError(f"family {family.name} has no member in the {part} part; give it more parameters")


def draw_examples(part: Part, *, seed: int, chunk: int, count: int) -> Iterator[Example]:
    """`count` examples of a part; the same seed and chunk give the same ones."""
    rng = random.Random(f"{part}:{seed}:{chunk}")
    for _ in range(count):
        (family,) = rng.choices(FAMILIES, WEIGHTS)
        yield _short_example(part, family, rng)


def _short_example(part: Part, family: Family, rng: random.Random) -> Example:
    while True:
        example = phrase(draw_from(part, family, rng), rng)
        if len(example.prompt) + len(example.solution) <= MAX_CHARACTERS:
            return example
