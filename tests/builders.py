"""Small valid Trials and Records for tests; every figure in them is made up."""

from typing import Any

from quantbench.plan import Trial, trial_from_dict
from quantbench.records import Environment, Failure, Record


def make_trial(**changes: Any) -> Trial:
    """An fp16 trial of a random model on the CPU, with `changes`."""
    settings: dict[str, Any] = {"model": "random:tiny", "method": "fp16", "device": "cpu"}
    return trial_from_dict(settings | changes)


def make_record(trial: Trial, *, failure: str | None = None) -> Record:
    """A record of this trial that measured nothing, failed if `failure` says so."""
    return Record(
        trial_id=trial.id,
        created_at="2026-01-01T00:00:00+00:00",
        quantbench_version="0",
        trial=trial,
        environment=Environment(platform="test", python="3", cpu="test", cores=1, memory_bytes=1),
        failure=Failure(stage="load", kind="Error", message=failure) if failure else None,
    )
