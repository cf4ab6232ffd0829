"""The facts of the machine and of how a run was started."""

import sys

import pytest

from quantbench.environment import command_line


@pytest.mark.parametrize(
    "program", ["/usr/bin/quantbench", "/lib/python3/site-packages/quantbench/__main__.py"]
)
def test_a_command_is_recorded_as_it_can_be_typed(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [program, "run", "--seed", "1"])
    assert command_line() == "quantbench run --seed 1"
