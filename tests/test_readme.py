"""Every command that the README shows exists, with those options."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from quantbench.cli import app

ROOT = Path(__file__).parent.parent
LINES = [
    line.split("#")[0].strip()
    for line in (ROOT / "README.md").read_text().splitlines()
    if re.match(r" {4}(quantbench|make) ", line)
]


def test_the_readme_shows_commands() -> None:
    assert len(LINES) >= 10


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("quantbench")])
def test_a_command_takes_what_the_readme_gives_it(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    group = typer.main.get_command(app)
    command = getattr(group, "commands")[name]  # noqa: B009
    context = command.make_context(name, list(arguments))
    assert context.command is command


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make")])
def test_a_target_is_in_the_makefile(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
