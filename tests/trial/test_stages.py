"""A trial's stages: on which device, for how long, with which kernels."""

from pathlib import Path

import pytest
import torch

from quantbench.plan import Role, Trial
from quantbench.settings import EvaluationSettings, LoadSettings
from quantbench.trial.run import Run
from quantbench.trial.stages import make_current, points_of
from tests.builders import make_record

TRIAL = Trial(
    model="builtin",
    method="fp16",
    load=LoadSettings(device="cpu", dtype="float32", engine="native"),
    evaluation=EvaluationSettings(tasks=("quickeval",), protocols=("completion",)),
)


@pytest.mark.parametrize(("device", "made"), [("cuda:1", ["cuda:1"]), ("cpu", [])])
def test_the_trials_device_becomes_the_current_one(
    monkeypatch: pytest.MonkeyPatch, device: str, made: list[str]
) -> None:
    found: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    make_current(device)
    assert found == made


def test_the_seconds_of_each_stage_are_kept_by_both_clocks() -> None:
    wall, cpu = iter((0.0, 1.0, 3.0, 7.0, 8.0)), iter((0.0, 0.5, 2.5, 2.5, 3.5))
    run = Run(
        trial=TRIAL,
        name="fp16",
        folder=Path(),
        record=make_record(TRIAL),
        progress=lambda *news: None,
        checkpoint=lambda record: None,
        clock=lambda: next(wall),
        cpu_clock=lambda: next(cpu),
    )
    for stage in ("load", "task", "load", "end"):
        run.enter(stage)
    found = {name: (phase.wall_s, phase.cpu_s) for name, phase in run.record.phases.items()}
    assert found == {"start": (1.0, 0.5), "load": (3.0, 3.0), "task": (4.0, 0.0)}
    begins = [phase.began_unix_s for phase in run.record.phases.values()]
    assert begins == sorted(begins, key=lambda began: began or 0.0) and None not in begins


def test_kernels_are_asked_for_by_what_the_trials_stages_will_run() -> None:
    timed = {point for point in points_of(TRIAL) if not point.text}
    floor = {point for point in points_of(TRIAL.changed(role=Role.FLOOR)) if not point.text}
    assert {(point.rows, point.prompt_tokens) for point in timed - floor} == {(4, 128), (1, 512)}
    assert [point.rows for point in points_of(TRIAL) if point.text] == [TRIAL.generation.batch_size]
    assert not any(point.text for point in points_of(TRIAL.changed(tasks=())))
