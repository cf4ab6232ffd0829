"""benchmarks/whole_job.py tells a trial's seconds by stage, each second once."""

import sys
from importlib import import_module
from pathlib import Path

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


def test_every_second_of_a_trial_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    whole_job = import_module("whole_job")
    del sys.modules["whole_job"]
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
