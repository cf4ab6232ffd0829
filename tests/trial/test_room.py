"""A method that does not fit is refused alone, with the arithmetic; its record says so, the others go on."""

from pathlib import Path

import pytest

import quantbench
from quantbench.methods import METHODS, fits
from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.runner import run_plan
from quantbench.selection import write_plan
from quantbench.sources import open_source
from quantbench.store import Store
from quantbench.trial import run_trial
from tests.builders import make_trial
from tests.model_folders import write_folder

ASKED = {"dtype": "float32", "tasks": (), "speed_budget_s": 0.01, "threads": 1}
SHAPE = {"prompt_tokens": (8,), "new_tokens": 4, "batch_sizes": (1,)}


class Silent:
    """A watcher that watches nothing."""

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None: ...

    def on_record(self, trial: Trial, record: Record) -> None: ...


def measured(trials: tuple[Trial, ...], folder: Path) -> list[Record]:
    """The records of a plan's trials."""
    plan = Plan(trials=trials, baseline="fp32")
    store = Store(folder)
    store.create()
    write_plan(plan, folder)

    def execute(trial: Trial) -> Record:
        return run_trial(trial, folder=folder, progress=lambda *news: None, checkpoint=lambda record: None)

    return run_plan(plan, store, execute, Silent())[0]


def test_the_row_that_does_not_fit_is_refused_and_the_other_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(write_folder(tmp_path / "m"))
    trials = tuple(make_trial(model=model, method=method, **ASKED, **SHAPE) for method in ("fp32", "int8"))
    source = open_source(model)
    needs = [fits.need_of(METHODS[t.method], source, fits.place_of(t.load, t.speed)) for t in trials]
    large, small = (need.total for need in needs if need)
    assert small < large
    monkeypatch.setattr(fits, "available_bytes", lambda device: large - 1)
    refused, other = measured(trials, tmp_path / "r")
    assert refused.failure is not None and refused.failure.user_error
    assert (refused.failure.stage, refused.failure.traceback) == ("load", None)
    assert "needs" in refused.failure.message and "but cpu has" in refused.failure.message
    assert refused.size is None and refused.speed == ()
    assert other.failure is None and other.speed[0].decode_s
    (issue,) = (one for one in quantbench.load(tmp_path / "r").analysis.issues if one.failed)
    assert issue.label == "fp32" and "failed in the stage 'load'" in issue.text
    monkeypatch.setattr(fits, "available_bytes", lambda device: large)
    assert all(record.failure is None for record in measured(trials, tmp_path / "r"))
