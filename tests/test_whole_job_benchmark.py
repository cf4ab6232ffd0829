"""benchmarks/whole_job.py tells a trial's seconds by stage, each second once."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from quantbench.plan import Trial
from quantbench.records import Phase, Startup
from quantbench.settings import EvaluationSettings, LoadSettings
from tests.builders import make_record

TRIAL = Trial(
    model="builtin",
    method="fp16",
    load=LoadSettings(device="cpu", dtype="float32", engine="native"),
    evaluation=EvaluationSettings(tasks=(), protocols=("completion",)),
)


@pytest.fixture
def whole_job(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    module = import_module("whole_job")
    del sys.modules["whole_job"]
    return module


def test_every_second_of_a_trial_is_told_once(whole_job: Any) -> None:
    record = make_record(TRIAL).model_copy(
        update={
            "took_s": 10.0,
            "startup": Startup(warmup_s=0.5),
            "phases": {"load": Phase(wall_s=3.0, cpu_s=4.0), "speed": Phase(wall_s=6.0, cpu_s=6.0)},
        }
    )
    found = whole_job.stages_of(record)
    assert found == {"load": 2.5, "speed": 6.0, "warm-up": 0.5, "process": 1.0}
    assert sum(found.values()) == record.took_s


def test_when_a_stage_began_is_told_from_the_commands_start_on(whole_job: Any) -> None:
    phases = {"load": Phase(wall_s=3.0, cpu_s=4.0, began_unix_s=1.7e9), "old": Phase(wall_s=1.0, cpu_s=1.0)}
    record = make_record(TRIAL).model_copy(update={"phases": phases})
    assert list(whole_job.begins(record, 1.7e9 - 2.5)) == ["load 2.50"]
