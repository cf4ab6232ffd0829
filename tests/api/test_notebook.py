"""The notebook of the examples: six cells that run, and show what they are there to show.

The short form has everything but the processes that measure, in whose place records stand; the long one is
the notebook as it is.
"""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from quantbench.executors import local
from quantbench.executors.local import LocalExecutor
from quantbench.plan import Role, Trial
from quantbench.records import Memory, MemoryKind, Record, Size
from quantbench.report.charts.style import ChartFigure
from quantbench.results import Results
from tests.report_records import CPU_ENVIRONMENT, record, speed_point, task_result

SIZES = {"fp16": 3_740_000, "int4": 999_000}
NOTEBOOK = json.loads((Path(__file__).parent.parent.parent / "examples" / "results.ipynb").read_text())


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Execute a cell; the value of its last expression, as a notebook shows it."""
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    exec(compile(ast.Module([last], []), "cell", "exec"), names)
    return None


class StandIn:
    """In place of the executor: each trial's record without a process, its figures made up."""

    def __init__(self, folder: Path, *, command: str, **more: Any) -> None:
        self._environment = CPU_ENVIRONMENT.model_copy(update={"command": command})

    def __call__(self, trial: Trial) -> Record:
        sections: dict[str, Any] = {"speed": (speed_point(30.0, passes=1),), "environment": self._environment}
        if trial.role is Role.METHOD:
            sections["size"] = Size(weight_bytes=SIZES[trial.method], effective_bits=8.0)
            sections["memory"] = Memory(kind=MemoryKind.CPU, process_bytes=300_000_000)
            sections["tasks"] = (task_result(range(5), problems=8, task="quickeval"),)
        return record(trial.method, device="cpu", trial=trial, **sections)


def cells_shown(folder: Path, patch: pytest.MonkeyPatch) -> list[Any]:
    """What the code cells show, one after another in one session."""
    patch.chdir(folder)
    names: dict[str, Any] = {}
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    return [run_cell("".join(cell["source"]), names) for cell in cells]


@pytest.fixture(
    scope="module",
    params=[StandIn, pytest.param(LocalExecutor, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the code cells show with this executor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LocalExecutor", request.param)
        return cells_shown(tmp_path_factory.mktemp("notebook"), patch)


def test_it_has_six_cells_and_keeps_no_output() -> None:
    assert len(NOTEBOOK["cells"]) == 6
    assert not [cell for cell in NOTEBOOK["cells"] if cell.get("outputs")]


def test_it_measures_both_methods(shown: list[Any]) -> None:
    assert isinstance(shown[0], Results)
    assert not [record.failure for record in shown[0].records if record.failure]
    assert [row["method"] for row in shown[1]] == ["fp16", "int4"]
    assert all(row["weight_bytes"] and row["quickeval_pass_at_1"] is not None for row in shown[1])


def test_it_shows_a_picture(shown: list[Any]) -> None:
    assert isinstance(shown[2], ChartFigure)


def test_it_recommends_the_method_that_fits(shown: list[Any]) -> None:
    label, reason, candidates = shown[3]
    assert (label, dict(candidates)) == ("int4", {"fp16": False, "int4": True}), reason


def test_it_shows_raw_answers(shown: list[Any]) -> None:
    assert {row["outcome"] for row in shown[4]} <= {"failed", "timed_out"}


def test_the_record_says_how_it_was_called(shown: list[Any]) -> None:
    assert shown[0].records[0].environment.command.startswith("quantbench.run('builtin', methods=")
