"""Real runs of the built-in model, killed at random moments and started again, end as an undisturbed one."""

import contextlib
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
RUNS = 10  # of KILLS_A_RUN kills each, and of one signal that asks the run to end
KILLS = ("trial", "run", "both")
KILLS_A_RUN = 10
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


def disturb(process: "subprocess.Popen[bytes]", what: object) -> None:
    """kill -9 of the trial, the run, or both; or a signal that asks the run to end."""
    if isinstance(what, signal.Signals):
        process.send_signal(what)
        return
    if what in ("trial", "both"):
        for child in psutil.Process(process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # the guard of a trial that has just ended
                if any("executors.forkserver" in part for part in child.cmdline()):
                    for trial in child.children():
                        trial.kill()
    if what in ("run", "both"):
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


def is_complete(folder: Path, undisturbed: Path) -> bool:
    """Whether every trial of the undisturbed run is measured in a folder."""
    found, _ = Store(folder).summaries_or_none()
    done = {trial for trial, summary in found.items() if summary.completed}
    return done == set(Store(undisturbed).summaries()[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The folder of a run that nothing disturbed, and how long it took: the moments are shares of that."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    began = time.monotonic()
    assert start(folder).wait(LIMIT_S) == 0
    return folder, time.monotonic() - began


@pytest.mark.long
@pytest.mark.parametrize("seed", range(RUNS))
def test_a_run_killed_at_random_ends_as_an_undisturbed_one(
    seed: int, tmp_path: Path, undisturbed: tuple[Path, float]
) -> None:
    folder, took_s = undisturbed
    draw = random.Random(seed)
    planned: list[object] = [draw.choice(KILLS) for _ in range(KILLS_A_RUN)]
    asks = draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    planned.insert(draw.randrange(len(planned) + 1), asks)
    number, pace_s = 0, 1.5 * took_s / len(planned)
    while planned:
        process = start(tmp_path / str(number))
        time.sleep(draw.uniform(0.02, 1) * pace_s)
        if process.poll() is None:
            disturb(process, planned.pop())
            process.wait(LIMIT_S)
        if is_complete(tmp_path / str(number), folder):  # in spite of all; what is left is for another run
            assert final(tmp_path / str(number)) == final(folder)
            number += 1
    assert start(tmp_path / str(number)).wait(LIMIT_S) == 0
    assert final(tmp_path / str(number)) == final(folder)
