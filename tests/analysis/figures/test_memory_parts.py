"""Parts of memory add up to the process's peak; what was not measured is a reason, never a figure."""

from typing import Any

import pytest

from quantbench.analysis import memory_parts
from quantbench.decoding import Request
from quantbench.measure.memory import MemoryMeter
from quantbench.methods import METHODS, LoadSettings
from quantbench.records import Memory
from quantbench.settings import Engine
from tests.model_folders import tiny_source

CUDA = {
    "kind": "cuda",
    "peak_allocated_bytes": 1000,
    "peak_reserved_bytes": 1300,
    "process_bytes": 1800,
    "cache_bytes": 200,
}
CPU = {"kind": "cpu", "process_bytes": 900, "baseline_process_bytes": 300, "cache_bytes": 50}


def sizes(values: dict[str, Any], weights: int | None) -> dict[str, int | None]:
    return {part.name: part.nbytes for part in memory_parts(Memory(**values), weights)}


@pytest.mark.parametrize(("values", "process"), [(CUDA, 1800), (CPU, 900)])
def test_the_parts_add_up_to_the_process(values: dict[str, Any], process: int) -> None:
    assert sum(size or 0 for size in sizes(values, 400).values()) == process


def test_on_a_gpu_the_pool_and_the_driver_are_apart() -> None:
    assert sizes(CUDA, 400) == {
        "weights": 400,
        "KV cache": 200,
        "workspace": 400,
        "allocator's pool": 300,
        "driver": 500,
    }


@pytest.mark.parametrize(
    ("missing", "part"), [("process_bytes", "driver"), ("peak_reserved_bytes", "allocator's pool")]
)
def test_what_was_not_measured_is_not_known(missing: str, part: str) -> None:
    assert sizes({**CUDA, missing: None}, 400)[part] is None


def test_weights_that_were_not_all_resident_make_no_negative_workspace() -> None:
    (part,) = [part for part in memory_parts(Memory(**CPU), 4000) if part.name == "workspace"]
    assert part.nbytes is None and "not all weights were resident" in part.how


def test_a_record_of_before_says_that_its_cache_was_not_measured() -> None:
    (part,) = [p for p in memory_parts(Memory(kind="cpu", process_bytes=9), None) if p.name == "KV cache"]
    assert (part.nbytes, part.how) == (None, "not measured")


@pytest.mark.parametrize("engine", [Engine.NATIVE, Engine.TRANSFORMERS])
def test_both_engines_tell_the_largest_cache_that_ran(engine: Engine) -> None:
    source = tiny_source(num_hidden_layers=2)
    settings = LoadSettings(device="cpu", dtype="float32", engine=engine)
    decoder = METHODS["fp32"].load(source, settings).decoder
    meter = MemoryMeter("cpu")
    for tokens in (20, 4):
        decoder.generate([Request(prompt_ids=(1,) * 8, max_new_tokens=tokens)], batch_size=1)
    config = source.config
    width = config["hidden_size"] // config["num_attention_heads"] * config["num_key_value_heads"]
    most = 2 * 2 * 28 * width * 4  # layers, keys and values, positions, float32
    found = meter.finish(decoder).cache_bytes or 0
    assert most - 2 * 2 * width * 4 <= found <= most
