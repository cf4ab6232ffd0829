"""benchmarks/decode.py runs on the CPU: rows as they come, a file of them, peers that are missing named."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "decode.py"
SHORT = [
    "--model",
    "builtin",
    "--device",
    "cpu",
    "--dtype",
    "float32",
    "--methods",
    "fp16",
    "--prompt",
    "8-12",
]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What a short run printed, and its file."""
    path = tmp_path_factory.mktemp("decode") / "table.json"
    options = [
        *SHORT,
        "--batches",
        "1,3",
        "--contexts",
        "40",
        "--new",
        "6",
        "--repetitions",
        "2",
        "--no-error",
    ]
    command = [sys.executable, str(SCRIPT), *options, "--peers", "vllm,nobody", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(path.read_text())


def test_every_workload_has_a_row_with_its_batch_and_context(ran: tuple[str, dict[str, Any]]) -> None:
    rows = ran[1]["rows"]
    assert [row["batch"] for row in rows] == [1, 3, 1]
    assert rows[-1]["context"] == 40
    assert all(8 + 3 <= row["context"] <= 12 + 3 for row in rows[:-1])


def test_end_to_end_counts_the_prompts_time_too(ran: tuple[str, dict[str, Any]]) -> None:
    for row in ran[1]["rows"]:
        assert 0 < row["end_to_end_tokens_per_s"] < row["decode_tokens_per_s"] * 6 / 5


def test_what_was_not_measured_is_missing(ran: tuple[str, dict[str, Any]]) -> None:
    for row in ran[1]["rows"]:
        assert {row[name] for name in ("peak_bytes", "error", "loss", "worst_token")} == {None}


def test_missing_and_unknown_peers_are_named(ran: tuple[str, dict[str, Any]]) -> None:
    assert "(vllm is " in ran[0]
    assert "(nobody is not a peer that this script knows" in ran[0]
