"""A trial whose engine is behind a server leaves a record, whatever the server does."""

from pathlib import Path
from typing import Any

import pytest

from quantbench.records import Record
from quantbench.trial import run_trial
from tests.builders import make_trial
from tests.model_folders import write_folder
from tests.serving.fake_server import fake_server


@pytest.fixture(autouse=True)
def without_overhead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantbench.serving.echo.measure_overhead", lambda tokens: ((0.001,), (0.0001,)))


def measured(tmp_path: Path, url: str, **settings: Any) -> Record:
    """The record of a short trial at an address; the folder's name is the model's there."""
    folder = write_folder(tmp_path / "tiny")
    short = {"prompt_tokens": (4,), "new_tokens": 6, "speed_budget_s": 0.01, "engine": "endpoint"}
    trial = make_trial(model=str(folder), base_url=url, **{**short, **settings})
    return run_trial(trial, folder=tmp_path, progress=lambda *_: None, checkpoint=lambda record: None)


@pytest.mark.parametrize("kind", ["llamacpp", "vllm", "other"])
def test_speed_is_measured_at_the_client_and_what_is_not_known_is_missing(tmp_path: Path, kind: str) -> None:
    with fake_server(kind=kind) as (url, _):
        record = measured(tmp_path, url)
    assert record.failure is None
    assert len(record.speed[0].decode_s) >= 2
    assert (record.memory, record.size) == (None, None)
    assert any("memory is not known" in warning for warning in record.warnings)


def test_the_record_says_which_server_it_was(tmp_path: Path) -> None:
    with fake_server() as (url, _):
        record = measured(tmp_path, url)
    assert record.served is not None
    assert (record.served.url, record.served.name, record.served.started) == (url, "tiny", False)
    assert record.speed[0].server_decode_s


def test_the_key_is_nowhere_in_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTBENCH_API_KEY", "very-secret")
    with fake_server(key="very-secret") as (url, _):
        record = measured(tmp_path, url)
    assert record.failure is None
    assert "very-secret" not in record.model_dump_json()


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"names": ("other",)}, "serves 'other'"),
    "a key is needed": ({"key": "x"}, "needs a key"),
    "it dies in the middle": ({"closes_after": 1}, "closed the connection"),
    "its stream is cut": ({"ends_after": 1}, "without an end"),
    "it sends garbage": ({"garbage": True}, "no JSON object"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_failure_of_one_sentence_without_a_traceback(fault: str, tmp_path: Path) -> None:
    behaviour, sentence = FAULTS[fault]
    with fake_server(kind="vllm", **behaviour) as (url, _):
        failure = measured(tmp_path, url).failure
    assert failure is not None
    assert sentence in failure.message
    assert (failure.user_error, failure.traceback) == (True, None)


def test_no_server_is_a_failure_of_one_sentence(tmp_path: Path) -> None:
    failure = measured(tmp_path, "http://127.0.0.1:9").failure
    assert failure is not None
    assert "no server answers" in failure.message


def test_lengths_that_cannot_be_forced_leave_the_speed_missing_with_the_reason(tmp_path: Path) -> None:
    with fake_server(kind="vllm", short=2) as (url, _):
        record = measured(tmp_path, url)
    assert "lengths cannot be forced" in (
        record.failure.message if record.failure else record.speed[0].failure or ""
    )
