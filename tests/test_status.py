"""The state of a run, read from its folder: what is done, runs, failed or is left, and its time."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from quantbench.commands.status import status
from quantbench.errors import StoreError
from quantbench.output import Output
from quantbench.plan import Plan
from quantbench.selection import write_plan
from quantbench.settings.commands import StatusSettings
from quantbench.status import Status, status_of
from quantbench.store import Store, note_running
from tests.builders import make_record, make_trial

TRIALS = tuple(make_trial(method=method) for method in ("fp16", "int8", "int4", "bf16"))
NOW = 1_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path)
    write_plan(Plan(trials=TRIALS, baseline="fp16"), tmp_path)
    return made


def measured(store: Store, place: int, took_s: float) -> None:
    store.append(make_record(TRIALS[place]).model_copy(update={"took_s": took_s}))


def test_a_plan_that_has_not_begun_is_all_left_and_its_time_is_not_known(store: Store) -> None:
    found = status_of(store.folder)
    assert (found.done, found.running, found.failed) == ((), (), ())
    assert (found.left, found.estimate) == (("fp16", "int8", "int4", "bf16"), None)


def test_every_trial_is_in_exactly_one_state(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    measured(store, 0, 10.0)
    store.append(make_record(TRIALS[1], failure="no room"))
    with store.locked():
        note_running(store.folder, TRIALS[2].id)
        found = status_of(store.folder)
    assert found.done == ("fp16",)
    assert [(one.trial, one.stage, one.reason) for one in found.failed] == [("int8", "load", "no room")]
    assert [one.trial for one in found.running] == ["int4"]
    assert (found.left, found.active) == (("bf16",), True)


def test_nothing_runs_in_a_folder_that_no_run_holds(store: Store) -> None:
    note_running(store.folder, TRIALS[0].id)
    found = status_of(store.folder)
    assert (found.running, found.active) == ((), False)
    assert "fp16" in found.left


def test_the_time_left_is_what_trials_took_less_what_has_run(store: Store) -> None:
    measured(store, 0, 10.0)
    measured(store, 1, 30.0)
    with store.locked():
        note_running(store.folder, TRIALS[2].id)
        note = store.folder / ".running" / TRIALS[2].id
        note.write_text(json.dumps({"since": NOW - 5}))
        found = status_of(store.folder, now=NOW)
    assert found.estimate is not None
    assert (found.estimate.left_s, found.estimate.from_trials) == (20.0 + 15.0, 2)


def test_a_trial_takes_what_its_own_kind_took(store: Store) -> None:
    measured(store, 0, 10.0)
    measured(store, 1, 30.0)
    again = make_trial(method="int8", seed=7)
    write_plan(Plan(trials=(again,), baseline="int8"), store.folder)
    found = status_of(store.folder)
    assert found.estimate is not None and found.estimate.left_s == 30.0


def test_a_failed_trial_says_nothing_about_time(store: Store) -> None:
    store.append(make_record(TRIALS[0], failure="broke").model_copy(update={"took_s": 1.0}))
    assert status_of(store.folder).estimate is None


def test_a_clock_that_was_set_back_gives_no_negative_time(store: Store) -> None:
    measured(store, 0, 10.0)
    with store.locked():
        note_running(store.folder, TRIALS[1].id)
        found = status_of(store.folder, now=0.0)
    assert found.running[0].for_s == 0 and found.estimate is not None and found.estimate.left_s == 30.0


def said(store: Store, *, as_json: bool = False) -> tuple[int, str]:
    console = Console(record=True, width=200)
    code = status(StatusSettings(folder=store.folder), Output(console, as_json=as_json), console)
    return code, console.export_text()


def test_the_command_says_the_estimate_as_one(store: Store) -> None:
    measured(store, 0, 10.0)
    code, text = said(store)
    assert code == 1
    assert "1 of 4 trials done, 0 running, 0 failed, 3 left" in text
    assert "about 30 s, an estimate from what 1 measured trial took" in text


def test_a_finished_plan_ends_with_status_0(store: Store) -> None:
    for place in range(4):
        measured(store, place, 1.0)
    assert said(store)[0] == 0


def test_its_json_holds_every_state(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    said(store, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert set(Status.__slots__) <= set(told)


def test_a_folder_without_a_plan_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="quantbench run"):
        status_of(tmp_path)
