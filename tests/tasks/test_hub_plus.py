"""HumanEval+ and MBPP+ in the layout of the hub's data sets, from a local copy."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from quantbench.errors import TaskError
from quantbench.evaluation.extraction import Extracted
from quantbench.evaluation.grading import Answer, grade
from quantbench.records import Outcome
from quantbench.sandbox.pool import open_sandbox
from quantbench.tasks import Task, load_task

ASSERTION = """import numpy as np

def assertion(out, exp, atol):
    if out != exp and isinstance(exp, float):
        assert np.allclose(out, exp, rtol=1e-07, atol=1e-6)
    else:
        assert out == exp, f"out: {out}, exp: {exp}"

"""
MBPP = {
    "task_id": 2,
    "code": "def helper(a):\n    return set(a)\n"
    "def shared(a, b):\n    return tuple(sorted(helper(a) & set(b)))\n",
    "prompt": "Write a function to find the shared elements of two lists.",
    "source_file": "Benchmark Questions Verification.ipynb",
    "test_imports": [],
    "test_list": ["assert shared((3, 4), (4, 5)) == (4,)", "assert shared((1,), (2,)) == ()"],
    "test": ASSERTION
    + "inputs = [[(3, 4), (4, 5)], [(1,), (2,)], [(2, 1), (1, 2)]]\n"
    + "results = [(4,), (), (1, 2)]\n"
    + "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(shared(*inp), exp, 0)\n",
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": "def twice(x):\n",
    "canonical_solution": "    return x * 2\n",
    "entry_point": "twice",
    "test": ASSERTION
    + "def check(candidate):\n    inputs = [[1], [2], [0.1]]\n    results = [2, 4, 0.20000003]\n"
    + "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    + "        assertion(candidate(*inp), exp, 0)\n",
}


def data_set(folder: Path, row: dict[str, Any]) -> Path:
    (folder / "data").mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([row]), folder / "data" / "test-00000-of-00001-5973903632b82d40.parquet"
    )
    return folder


def outcomes(task: Task, *answers: str) -> list[Outcome]:
    given = [
        Answer(problem=task.problems[0], extracted=Extracted(text=answer, standalone=True))
        for answer in answers
    ]
    with open_sandbox(workers=1) as sandbox:
        return [run.outcome for run in grade(given, sandbox, lambda *_: None).executions]


def test_mbpp_is_asked_as_in_evalpluss_own_file_and_graded_by_all_inputs(tmp_path: Path) -> None:
    task = load_task("mbpp+", str(data_set(tmp_path, MBPP)))
    (problem,) = task.problems
    assert (problem.task_id, problem.entry_point) == ("Mbpp/2", "shared")
    assert problem.prompt == (
        '"""\nWrite a function to find the shared elements of two lists.\n'
        'assert shared((3, 4), (4, 5)) == (4,)\n"""\n'
    )
    wrong = "def shared(a, b):\n    return tuple(x for x in a if x in b)\n"  # passes but the last input
    assert outcomes(task, MBPP["code"], wrong) == [Outcome.PASSED, Outcome.FAILED]  # type: ignore[arg-type]


def test_humaneval_has_its_own_fields(tmp_path: Path) -> None:
    task = load_task("humaneval+", str(data_set(tmp_path, HUMANEVAL)))
    right, wrong = (f"def twice(x):\n    return {body}\n" for body in ("x + x", "2"))
    assert outcomes(task, right, wrong) == [Outcome.PASSED, Outcome.FAILED]
    assert "one test" in str(task.note) and not task.comparable


def test_a_folder_without_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="holds no data/test"):
        load_task("mbpp+", str(tmp_path))


@pytest.mark.parametrize("field", ["prompt", "code", "test_list"])
def test_a_row_that_lacks_a_field_is_named(tmp_path: Path, field: str) -> None:
    row = {name: value for name, value in MBPP.items() if name != field} | {"test_list": MBPP["test_list"]}
    row = row | ({"test_list": []} if field == "test_list" else {})
    with pytest.raises(TaskError, match=f"problem 1 lacks '{field}'"):
        load_task("mbpp+", str(data_set(tmp_path, row)))


def test_a_test_that_calls_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="calls no function of its code"):
        load_task("mbpp+", str(data_set(tmp_path, MBPP | {"test": "pass"})))


def test_without_any_data_the_fix_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("MBPP_OVERRIDE_PATH", raising=False)
    with pytest.raises(TaskError, match=r"--task-data mbpp\+=MbppPlus.jsonl.gz"):
        load_task("mbpp+")
