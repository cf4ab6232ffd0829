"""A small task in HumanEval's format, and the same with inputs as HumanEval+ has them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROBLEMS: list[dict[str, Any]] = [
    {
        "task_id": "Own/0",
        "prompt": "from typing import List\n\ndef total(numbers: List[int]) -> int:\n    '''Their sum.'''\n",
        "canonical_solution": "    return sum(numbers)\n",
        "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert candidate([]) == 0\n",
        "entry_point": "total",
        "base_input": [[[1, 2]], [[]]],
        "plus_input": [[[-1]], [[10**6, 1]]],
        "atol": 0,
    },
    {
        "task_id": "Own/1",
        "prompt": "def half(x: float) -> float:\n    '''Half of it.'''\n",
        "canonical_solution": "    return x / 2\n",
        "test": "def check(candidate):\n    assert candidate(4.0) == 2.0\n",
        "entry_point": "half",
        "base_input": [[4.0]],
        "plus_input": [[1.0], [-3.0]],
        "atol": 1e-6,
    },
]


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def task_file(tmp_path: Path) -> Path:
    """Two problems with assertions."""
    fields = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    return write_lines(tmp_path / "task.jsonl", [{f: problem[f] for f in fields} for problem in PROBLEMS])


@pytest.fixture
def plus_file(tmp_path: Path) -> Path:
    """The same two problems with inputs."""
    return write_lines(tmp_path / "plus.jsonl", PROBLEMS)


@pytest.fixture
def sample_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines to a file of samples."""

    def write(*rows: Any) -> Path:
        return write_lines(tmp_path / "samples.jsonl", list(rows))

    return write
