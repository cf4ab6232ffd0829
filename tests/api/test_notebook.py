"""The notebook of the examples: six cells that run, and show what they are there to show."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.report.charts.style import Picture
from quantbench.results import Results

NOTEBOOK = json.loads((Path(__file__).parent.parent.parent / "examples" / "results.ipynb").read_text())


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell; the value of its last expression, as a notebook shows it."""
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    exec(compile(ast.Module([last], []), "cell", "exec"), names)
    return None


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the code cells show, one after another in one session."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
        return [run_cell("".join(cell["source"]), names) for cell in cells]


def test_it_has_six_cells_and_keeps_no_output() -> None:
    assert len(NOTEBOOK["cells"]) == 6
    assert not [cell for cell in NOTEBOOK["cells"] if cell.get("outputs")]


def test_it_measures_both_methods(shown: list[Any]) -> None:
    assert isinstance(shown[0], Results)
    assert not [record.failure for record in shown[0].records if record.failure]
    assert [row["method"] for row in shown[1]] == ["fp16", "int4"]
    assert all(row["weight_bytes"] and row["quickeval_pass_at_1"] is not None for row in shown[1])


def test_it_shows_a_picture(shown: list[Any]) -> None:
    assert isinstance(shown[2], Picture)


def test_it_recommends_the_method_that_fits(shown: list[Any]) -> None:
    label, reason, candidates = shown[3]
    assert (label, dict(candidates)) == ("int4", {"fp16": False, "int4": True}), reason


def test_it_shows_raw_answers(shown: list[Any]) -> None:
    assert {row["outcome"] for row in shown[4]} <= {"failed", "timed_out"}


def test_the_record_says_how_it_was_called(shown: list[Any]) -> None:
    assert shown[0].records[0].environment.command.startswith("quantbench.run('builtin', methods=")
