"""A trial's id changes with every setting that can change a number, and with nothing else."""

import json
from typing import Any

import pytest

from quantbench.plan import Trial, trial_from_dict
from quantbench.settings.base import places_of
from tests.builders import make_trial

OTHER: dict[str, Any] = {
    "task_digests": ("0",),
    "text_digests": ("0",),
    "quantizers": ("int4 2",),
    "tasks": ("humaneval",),
    "protocols": ("chat",),
    "batch_sizes": (1, 8),
    "prompt_tokens": (64,),
    "role": "floor",
    "engine": "transformers",
    "kv": "fp8",
    "threads": 3,
    "slots": 3,
    "spread": 2,
    "request_rates": (1.5,),
    "goodput_ttft_s": 1.0,
    "goodput_tpot_s": 1.0,
    "context": 512,
    "limit": 3,
    "max_new_tokens": 3,
    "top_p": 0.5,
    "temperature": 0.8,
}


def other_value(name: str, value: Any) -> Any:
    """A value that differs from `value`."""
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    return f"{value}-other" if isinstance(value, str) or value is None else value + 1


@pytest.mark.parametrize("name", list(places_of(Trial)))
def test_the_id_changes_with_every_setting(name: str) -> None:
    trial = make_trial(temperature=1.0)
    changed = trial_from_dict(trial.flat() | {name: other_value(name, trial.flat()[name])})
    assert changed.id != trial.id


def test_the_id_is_the_same_for_the_same_settings() -> None:
    assert make_trial().id == make_trial().id


def test_the_id_does_not_change_between_releases_by_accident() -> None:
    assert make_trial(tasks=("humaneval",), model="m").id == "7284993e76fe26ae"


def test_an_option_that_came_later_changes_the_id_only_where_it_changes_the_trial() -> None:
    asked = make_trial(tasks=("humaneval",), model="m")
    assert asked.evaluation.protocols == ("completion",)
    assert asked.changed(protocols=("chat",)).id != asked.id


def test_a_trial_survives_json() -> None:
    trial = make_trial(tasks=("humaneval",), batch_sizes=(1, 8))
    assert trial_from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


def test_the_floor_is_labelled_as_such() -> None:
    assert make_trial(role="floor").label == "fp16-floor"
