"""What hostile programs gain: nothing. Three families, in every mode that this machine has."""

import pytest

from tests.sandbox.arena import Arena
from tests.sandbox.capabilities import CAPABILITIES
from tests.sandbox.case import GAINED, Case
from tests.sandbox.cheats import CHEATS
from tests.sandbox.resources import RESOURCES, SURVIVED


def named(cases: list[Case]) -> dict[str, object]:
    return {"argvalues": cases, "ids": [case.name for case in cases]}


@pytest.mark.parametrize("case", **named(CHEATS))
def test_a_cheat_does_not_pass(arena: Arena, case: Case) -> None:
    report = arena.run(case.program(), case.seconds)
    assert report["outcome"] != "passed"
    arena.check_aftermath(report)


@pytest.mark.parametrize("case", **named(CAPABILITIES))
def test_a_capability_is_not_gained(arena: Arena, case: Case) -> None:
    report = arena.run(case.program(GAINED.format(guard=str(arena.guard))), case.seconds)
    assert report["outcome"] != "passed"
    arena.check_aftermath(report)


@pytest.mark.parametrize("case", **named(RESOURCES))
def test_a_resource_is_limited(arena: Arena, case: Case) -> None:
    report = arena.run(case.program(SURVIVED), case.seconds)
    assert report["outcome"] != "passed" or case.may_pass
    assert report["wall_s"] < case.seconds + 2
    arena.check_aftermath(report)


def test_the_suite_has_the_promised_size() -> None:
    sizes = [len({case.name for case in family}) for family in (CHEATS, CAPABILITIES, RESOURCES)]
    assert min(sizes) >= 30 and sum(sizes) >= 100


def test_state_does_not_reach_the_next_program(arena: Arena) -> None:
    leave = """
        import builtins, os, math
        builtins.left = math.left = os.environ["LEFT"] = "x"
        try: open("/tmp/left", "w").close()
        except OSError: pass
        def f(): return "done"
    """
    find = """
        import builtins, os, math
        def f():
            kept = [hasattr(builtins, "left"), hasattr(math, "left"), "LEFT" in os.environ]
            return [*kept, os.path.exists("/tmp/left")]
    """
    left = Case(name="leave", source=leave).program("def check(f):\n    assert f() == 'done'\n")
    found = Case(name="find", source=find).program("def check(f):\n    assert not any(f())\n")
    assert [arena.run(program)["outcome"] for program in (left, found)] == ["passed", "passed"]
