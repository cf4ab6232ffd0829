"""docs/methods.md has its five points for every method that there is, and names none that there is not."""

import re
from itertools import chain, combinations
from pathlib import Path

import pytest

from quantbench.methods import METHODS

TEXT = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |^### |\Z)", TEXT, re.MULTILINE | re.DOTALL))
POINTS = ("Stores", "Computes in", "When", "Costs", "Source")


def named(heading: str) -> list[str]:
    """Names and suffixes of a heading, in order: 'int8, their -head16'."""
    return re.split(r", their |, | and ", heading)


def methods_of(heading: str) -> dict[str, tuple[str, ...]]:
    """Every method that a heading stands for, and what of the heading its name is made of."""
    words = named(heading)
    names = [word for word in words if not word.startswith("-")]
    suffixes = [word for word in words if word.startswith("-")]
    chosen = list(chain.from_iterable(combinations(suffixes, count) for count in range(len(suffixes) + 1)))
    all_of = {"".join((name, *some)): (name, *some) for name in names for some in chosen}
    return {name: parts for name, parts in all_of.items() if name in METHODS}


def test_every_method_has_its_section() -> None:
    assert set(chain.from_iterable(map(methods_of, SECTIONS))) == set(METHODS)


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_name_in_a_heading_is_part_of_a_method(heading: str) -> None:
    assert set(chain.from_iterable(methods_of(heading).values())) == set(named(heading))


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_section_has_its_five_points_in_order(heading: str) -> None:
    found = re.findall(r"^- ([A-Z][a-z ]*):", SECTIONS[heading], re.MULTILINE)
    assert [point for point in found if point in POINTS] == list(POINTS)
