"""What hostile programs gain: nothing. Three families, in every mode that this machine has.

Of the larger tables each run takes a slice; `pytest -m "long or not long" tests/sandbox` takes all.
"""

from typing import Any

import pytest

from tests.sandbox.arena import Arena
from tests.sandbox.capabilities import CAPABILITIES
from tests.sandbox.case import GAINED, Case
from tests.sandbox.cheats import CHEATS
from tests.sandbox.forgeries import FORGERIES
from tests.sandbox.heavy_answers import HEAVY_ANSWERS
from tests.sandbox.refused_calls import REFUSED_CALLS
from tests.sandbox.resources import RESOURCES

SLICE = 20  # one in so many of the larger tables in each run


def named(cases: list[Case], larger: list[Case]) -> dict[str, Any]:
    sliced = [
        pytest.param(case, marks=[pytest.mark.long] if number % SLICE != 9 else [])
        for number, case in enumerate(larger)
    ]
    return {"argvalues": [*cases, *sliced], "ids": [case.name for case in (*cases, *larger)]}


@pytest.mark.parametrize("case", **named(CHEATS, FORGERIES))
def test_a_cheat_does_not_pass(arena: Arena, case: Case) -> None:
    report = arena.run(case.program(), case.seconds)
    assert report["outcome"] != "passed"
    arena.check_aftermath(report)


@pytest.mark.parametrize("case", **named(CAPABILITIES, REFUSED_CALLS))
def test_a_capability_is_not_gained(arena: Arena, case: Case) -> None:
    report = arena.run(case.program(GAINED.format(guard=str(arena.guard))), case.seconds)
    assert report["outcome"] != "passed"
    arena.check_aftermath(report)


@pytest.mark.parametrize("case", **named(RESOURCES, HEAVY_ANSWERS))
def test_a_resource_is_limited(arena: Arena, case: Case) -> None:
    report = arena.run(case.program(), case.seconds)
    assert report["outcome"] != "passed" or case.may_pass
    assert report["wall_s"] < case.seconds + 4
    arena.check_aftermath(report)


def test_the_suite_has_the_promised_size() -> None:
    families = (CHEATS + FORGERIES, CAPABILITIES + REFUSED_CALLS, RESOURCES + HEAVY_ANSWERS)
    sizes = [len({case.name for case in family}) for family in families]
    assert min(sizes) >= 100 and sum(sizes) >= 400
