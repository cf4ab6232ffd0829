from pathlib import Path

import pytest

from quantbench.errors import DeviceError
from quantbench.methods import METHODS
from quantbench.methods.fits import available_bytes, check_fits, read_number
from quantbench.methods.floats import FLOATS
from quantbench.methods.quantized import PLAIN as PACKED
from quantbench.sources import open_source
from tests.model_folders import tiny_source

PLAIN = {**FLOATS, **PACKED}


def refuse(model: str, method: str, free: int) -> str:
    with pytest.raises(DeviceError) as caught:
        check_fits(METHODS[method], open_source(model), "cuda:0", others=PLAIN, available=lambda device: free)
    return str(caught.value)


def test_a_model_that_is_too_large_is_refused_with_the_arithmetic() -> None:
    assert refuse("random:qwen2.5-7b", "fp16", 8_000_000_000) == (
        "'random:qwen2.5-7b' needs 16.3 GB (7.62 B parameters x 2 bytes, and 1.09 GB for its largest matrix "
        "while loading) but cuda:0 has 8 GB free; use --methods int4,int4-rtn or a smaller model or a larger "
        "device"
    )


def test_nothing_is_advised_that_would_not_fit_either() -> None:
    assert "; use a smaller model or a larger device" in refuse("random:qwen2.5-7b", "fp32", 1_000_000_000)


def test_a_model_that_just_fits_is_not_refused() -> None:
    source = tiny_source()
    needed = (METHODS["fp16"].expected_bytes_of(source.config) or 0) + 2 * 128 * 64
    check_fits(METHODS["fp16"], source, "cpu", others=METHODS, available=lambda device: needed)


def test_a_model_of_unknown_layout_is_not_checked() -> None:
    source = tiny_source()
    source.config = {"model_type": "mamba"}
    check_fits(METHODS["fp16"], source, "cpu", others=METHODS, available=lambda device: 0)


def test_a_limit_of_max_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert read_number(str(tmp_path / "memory.max")) is None
    assert read_number(str(tmp_path / "absent")) is None


def test_this_machine_has_memory() -> None:
    assert available_bytes("cpu") > 1_000_000
