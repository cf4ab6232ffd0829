"""Real runs of the built-in model, killed at random moments and started again, end as an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from quantbench.records import Record
from quantbench.store import Store

ARGUMENTS = (
    "builtin --device cpu --limit 3 --max-new-tokens 8 --speed-budget 0.2 --new-tokens 4 --prompt-tokens 8"
)
MORE = "--methods fp16,int8 --threads 1 --format json"
RUNS = 25  # of four disturbances each
LIMIT_S = 600


def start(folder: Path) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable,
        "-m",
        "quantbench",
        "run",
        *ARGUMENTS.split(),
        *MORE.split(),
        "-o",
        str(folder),
    ]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def disturb(process: "subprocess.Popen[bytes]", draw: random.Random) -> None:
    """Kill the trial, the run, or both, or ask the run to end."""
    what = draw.choice(["trial", "both", signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    if what not in ("trial", "both"):
        process.send_signal(what)
        return
    for server in psutil.Process(process.pid).children():
        if any("executors.forkserver" in part for part in server.cmdline()):
            for trial in server.children():
                trial.kill()
    if what == "both":
        process.kill()


def facts(record: Record) -> dict[str, Any]:
    """What two runs of the same trial have in common: everything but times and memory."""
    distance = record.distance.model_dump(exclude={"text"}) if record.distance else None
    answers = [(c.task_id, c.outcome, c.tokens) for task in record.tasks for c in task.completions]
    points = [(p.batch_size, p.prompt_tokens, p.new_tokens, p.failure) for p in record.speed]
    return {"id": record.trial_id, "failure": record.failure, "size": record.size, "model": record.model} | {
        "distance": distance,
        "answers": answers,
        "points": points,
        "warnings": record.warnings,
    }


def final(folder: Path) -> list[dict[str, Any]]:
    return sorted((facts(record) for record in Store(folder).read()[0]), key=lambda fact: fact["id"])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_killed_at_random_ends_as_an_undisturbed_one(
    seed: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    undisturbed = tmp_path_factory.getbasetemp() / "undisturbed"
    if not undisturbed.exists():
        assert start(undisturbed).wait(LIMIT_S) == 0
    draw = random.Random(seed)
    for _ in range(4):
        process = start(tmp_path / "run")
        time.sleep(draw.uniform(0.5, 25 if os.getloadavg()[0] > 2 else 12))
        if process.poll() is None:
            disturb(process, draw)
        process.wait(LIMIT_S)
    assert start(tmp_path / "run").wait(LIMIT_S) == 0
    assert final(tmp_path / "run") == final(undisturbed)
