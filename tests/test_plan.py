"""A trial's id changes with every setting that can change a number, and with nothing else."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from quantbench.plan import Plan, Trial, trial_from_dict
from tests.builders import make_trial

OTHER: dict[str, Any] = {
    "task_digests": ("0",),
    "tasks": ("humaneval",),
    "batch_sizes": (1, 8),
    "prompt_tokens": (64,),
    "role": "floor",
}


def other_value(name: str, value: Any) -> Any:
    """A value that differs from `value`."""
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    return f"{value}-other" if isinstance(value, str) or value is None else value + 1


@pytest.mark.parametrize("name", [field.name for field in fields(Trial)])
def test_the_id_changes_with_every_setting(name: str) -> None:
    trial = make_trial()
    changed = replace(trial, **{name: other_value(name, getattr(trial, name))})
    assert changed.id != trial.id


def test_the_id_is_the_same_for_the_same_settings() -> None:
    assert make_trial().id == make_trial().id


def test_the_id_does_not_change_between_releases_by_accident() -> None:
    assert len(make_trial().id) == 16
    assert int(make_trial().id, 16) >= 0


def test_a_trial_survives_json() -> None:
    trial = make_trial(tasks=("humaneval",), batch_sizes=(1, 8))
    assert trial_from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


def test_pending_leaves_out_what_is_recorded() -> None:
    first, second = make_trial(), make_trial(method="int8")
    plan = Plan(trials=(first, second), baseline="fp16")
    assert plan.pending({first.id}) == (second,)


def test_the_floor_is_labelled_as_such() -> None:
    assert make_trial(role="floor").label == "fp16-floor"
