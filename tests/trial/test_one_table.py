"""Every method that people deploy is a row of one table on the CPU, and every row is audited."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from quantbench.analysis import analyse, memory_parts
from quantbench.methods import METHODS
from quantbench.planning import build_plan
from quantbench.records import Bandwidth, Record
from quantbench.report.sections.setup import audit_section
from quantbench.settings import RunSettings
from quantbench.trial import run_trial
from tests.model_folders import tiny_config, tiny_tensors, write_folder

FORMATS = {  # of the layers' matrices; 256 divides one of the two widths
    "fp16": {"W16"},
    "int8": {"W8"},
    "int4": {"W4"},
    "int4-head16": {"W4"},
    "bnb-nf4": {"nf4"},
    "bnb-int8": {"int8"},
    "torchao-int8wo": {"int8"},
    "hqq4": {"hqq"},
    "q8_0": {"Q8_0"},
    "q4_0": {"Q4_0"},
    "q4_k_m": {"Q5_0", "Q6_K", "Q8_0"},
}
LAYERS = ("q", "k", "v", "o", "gate", "up", "down")
SETTINGS = {"tasks": ("none",), "device": "cpu", "floor": False}


@cache
def model() -> Path:
    """A random model of one layer, without a tokenizer, so that nothing is calibrated."""
    config = tiny_config(hidden_size=128, intermediate_size=256)
    return write_folder(Path(mkdtemp()) / "m", tiny_tensors(hidden_size=128, intermediate_size=256), config)


@cache
def record_of(method: str) -> Record:
    """The record of one trial, run in this process."""
    asked = RunSettings(model=str(model()), methods=(method,), new_tokens=3, prompt_tokens=(8,), **SETTINGS)
    trial = build_plan(asked)[0].trials[0].changed(speed_budget_s=0.05)
    return run_trial(
        trial, folder=Path(mkdtemp()), progress=lambda *news: None, checkpoint=lambda record: None
    )


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Bandwidth(read_bytes_per_s=1e9, method="not measured here")
    monkeypatch.setattr("quantbench.measure.measure_bandwidth", lambda device, **unused: found)
    monkeypatch.setattr("quantbench.trial.stages.find_bounds", lambda *unused: None)


@pytest.mark.parametrize("method", FORMATS)
def test_every_row_is_audited(method: str) -> None:
    if reason := METHODS[method].unavailable("cpu"):
        pytest.skip(reason)
    record = record_of(method)
    assert record.failure is None, record.failure
    assert record.size is not None and record.memory is not None
    held = {kind.format for kind in record.storage if kind.module in LAYERS}
    assert held == FORMATS[method]
    assert sum(kind.nbytes for kind in record.storage) == record.size.weight_bytes
    assert all(kind.kernel and kind.prompt_kernel for kind in record.storage)
    known = {part.name for part in memory_parts(record.memory, record.size.weight_bytes) if part.nbytes}
    assert known >= {"weights", "KV cache", "interpreter and libraries"}


def test_all_rows_stand_in_one_table() -> None:
    methods = [name for name in FORMATS if METHODS[name].unavailable("cpu") is None]
    records = [record_of(name) for name in methods]
    storage, memory = audit_section(analyse(records, "fp16"))
    for section, table in (
        (storage, storage.blocks[0]),
        (storage, storage.blocks[1]),
        (memory, memory.blocks[0]),
    ):
        labels = list(dict.fromkeys(row[0] for row in table.rows))  # type: ignore[union-attr]
        assert labels == methods, section.title
