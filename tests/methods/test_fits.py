from pathlib import Path

import pytest

from quantbench.decoding import HoldsCache, Request
from quantbench.errors import DeviceError
from quantbench.methods import METHODS
from quantbench.methods.fits import Place, available_bytes, check_fits, need_of, place_of, read_number
from quantbench.methods.floats import FLOATS
from quantbench.methods.quantized import PLAIN as PACKED
from quantbench.settings import Engine, LoadSettings
from quantbench.sources import open_source
from quantbench.sources.random_weights import RandomSource
from tests.builders import make_trial
from tests.model_folders import tiny_source

PLAIN = {**FLOATS, **PACKED}


ONE = Place(devices=("cuda:0",), rows=1, prompt_tokens=128, new_tokens=128)
TWO = Place(devices=("cuda:0", "cuda:1"), rows=1, prompt_tokens=128, new_tokens=128)


def refuse(model: str, method: str, free: int, place: Place = ONE, gpus: int = 0) -> str:
    with pytest.raises(DeviceError) as caught:
        check_fits(
            METHODS[method],
            open_source(model),
            place,
            others=PLAIN,
            available=lambda device: free,
            more=lambda: gpus,
        )
    return str(caught.value)


def test_a_model_that_is_too_large_is_refused_with_the_arithmetic() -> None:
    assert refuse("random:qwen2.5-7b", "fp16", 8_000_000_000) == (
        "'random:qwen2.5-7b' needs 16.3 GB (7.62 B parameters x 2 bytes, and the larger of 1.09 GB for its "
        "largest matrix while loading and 14.7 MB of KV cache for batch 1 of 256 positions with 4.85 MB of "
        "workspace while running) but cuda:0 has 8 GB free; use --methods int4,int4-rtn or take a "
        "smaller model or a larger device"
    )


def test_what_runs_in_one_batch_counts_where_it_takes_more_than_loading() -> None:
    wide = Place(devices=("cuda:0",), rows=64, prompt_tokens=4096, new_tokens=512)
    said = refuse("random:qwen2.5-7b", "int4", 10_000_000_000, wide)
    assert said.startswith("'random:qwen2.5-7b' needs 2") and "begin --batch-sizes or" in said
    check_fits(
        METHODS["int4"],
        open_source("random:qwen2.5-7b"),
        ONE,
        others=PLAIN,
        available=lambda device: 10_000_000_000,
    )


def test_where_there_are_more_gpus_spreading_is_advised() -> None:
    assert "int4-rtn or add --spread 4 or take a" in refuse(
        "random:qwen2.5-7b", "fp16", 8_000_000_000, gpus=4
    )


def test_several_gpus_are_counted_together_and_none_of_them_is_filled_to_the_last_byte() -> None:
    said = refuse("random:qwen2.5-7b", "fp16", 8_000_000_000, TWO, gpus=2)
    assert "but cuda:0 and cuda:1 have 14.4 GB free (90% of it counts); use" in said
    assert "--spread" not in said and "while loading" not in said
    source = open_source("random:qwen2.5-7b")
    check_fits(METHODS["fp16"], source, TWO, others=PLAIN, available=lambda device: 8_600_000_000)


def test_the_cache_is_what_the_engine_really_allocates() -> None:
    """Batch, lengths and heads are read from the same configuration as the model's own."""
    source = tiny_source()
    with_cache = load_decoder_cache(source, rows=3, prompt=5, new=7)
    place = Place(devices=("cpu",), width=4, rows=3, prompt_tokens=5, new_tokens=7)
    need = need_of(METHODS["fp32"], source, place)
    assert need is not None and need.cache == with_cache


def load_decoder_cache(source: RandomSource, *, rows: int, prompt: int, new: int) -> int:
    load = LoadSettings(device="cpu", dtype="float32", engine=Engine.NATIVE)
    decoder = METHODS["fp32"].load(source, load).decoder
    request = Request(prompt_ids=tuple(range(prompt)), max_new_tokens=new)
    decoder.generate([request] * rows, batch_size=rows)
    assert isinstance(decoder, HoldsCache) and decoder.cache_bytes is not None
    return decoder.cache_bytes


def test_a_trials_place_is_that_of_its_headline() -> None:
    trial = make_trial(batch_sizes=(4, 8), prompt_tokens=(32, 64), new_tokens=16, dtype="float32")
    place = place_of(trial.load, trial.speed)
    assert place == Place(devices=("cpu",), width=4, rows=4, prompt_tokens=32, new_tokens=16)


def test_nothing_is_advised_that_would_not_fit_either() -> None:
    assert "; take a smaller model or a larger device" in refuse("random:qwen2.5-7b", "fp32", 1_000_000_000)


def test_a_model_that_just_fits_is_not_refused() -> None:
    source = tiny_source()
    needed = (METHODS["fp16"].expected_bytes_of(source.config) or 0) + 2 * 128 * 64
    place = Place(devices=("cpu",))
    check_fits(METHODS["fp16"], source, place, others=METHODS, available=lambda device: needed)
    with pytest.raises(DeviceError):
        check_fits(METHODS["fp16"], source, place, others=METHODS, available=lambda device: needed - 1)


def test_a_model_of_unknown_layout_is_not_checked() -> None:
    source = tiny_source()
    source.config = {"model_type": "mamba"}
    check_fits(METHODS["fp16"], source, ONE, others=METHODS, available=lambda device: 0)


def test_a_limit_of_max_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert read_number(str(tmp_path / "memory.max")) is None
    assert read_number(str(tmp_path / "absent")) is None


def test_this_machine_has_memory() -> None:
    assert available_bytes("cpu") > 1_000_000
