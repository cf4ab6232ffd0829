"""A trial whose engine is behind a server leaves a record, whatever the server does."""

from pathlib import Path
from typing import Any

import pytest

from quantbench.records import ModelInfo, Record
from quantbench.sources import open_source
from quantbench.sources.sizes import count_stored
from quantbench.trial import run_trial
from quantbench.trial.stages import model_info
from tests.builders import make_trial
from tests.model_folders import tiny_config, tiny_tensors, write_folder
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


QUANTIZED = {"quant_method": "gptq", "bits": 4}


@pytest.mark.parametrize(
    ("config", "known"),
    [
        ({}, True),
        ({"model_type": "gpt_neo"}, True),
        ({"model_type": "gpt_neo", "quantization_config": QUANTIZED}, False),
    ],
)
def test_parameters_that_are_not_known_are_missing(
    config: dict[str, Any], known: bool, tmp_path: Path
) -> None:
    source = open_source(str(write_folder(tmp_path / "tiny", config=tiny_config(**config))))
    found = model_info(source, count_stored(source)).parameters
    stored = sum(tensor.numel() for tensor in tiny_tensors().values())
    assert found == (stored if known else None)


def test_a_number_of_parameters_that_an_older_record_has_as_0_is_missing() -> None:
    assert ModelInfo(name="m", architecture="a", parameters=0).parameters is None


def test_the_times_of_each_request_of_a_batch_are_kept(tmp_path: Path) -> None:
    with fake_server() as (url, _):
        (point,) = measured(tmp_path, url, batch_sizes=(3,)).speed
    assert {len(times) for times in (*point.request_ttft_s, *point.request_decode_s)} == {3}
    assert len(point.request_ttft_s) == len(point.ttft_s)
    for whole, single in zip(point.ttft_s, point.request_ttft_s, strict=True):
        assert max(single) <= whole


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
