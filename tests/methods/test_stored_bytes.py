"""What `stored` will take on a CPU is known before it is loaded."""

from pathlib import Path

import pytest

import quantbench
from quantbench.errors import DeviceError
from quantbench.methods import METHODS, LoadSettings, expected_bytes, fits
from quantbench.sources import open_source
from tests.gguf_files import write_tiny
from tests.model_folders import write_folder


def held(path: Path) -> tuple[int | None, int]:
    """Bytes expected, and those of all tensors after loading."""
    source, stored = open_source(str(path)), METHODS["stored"]
    decoder = stored.load(source, LoadSettings(device="cpu", dtype="float32")).decoder
    return expected_bytes(stored, source, "cpu"), sum(t.nbytes for _, t in decoder.resident_tensors())


def test_a_gguf_file_takes_the_bytes_of_its_tensors(tmp_path: Path) -> None:
    expected, loaded = held(write_tiny(tmp_path / "m.gguf"))
    assert expected == loaded


def test_packed_modules_take_little_else_than_their_files_hold(tmp_path: Path) -> None:
    model = write_folder(tmp_path / "m")
    made = quantbench.export(
        str(model), method="int8-head16", format="compressed-tensors", output_dir=tmp_path / "o"
    )
    expected, loaded = held(made)
    assert expected == pytest.approx(loaded, rel=0.03)


def test_a_file_that_does_not_fit_is_refused_before_loading(tmp_path: Path) -> None:
    source = open_source(str(write_tiny(tmp_path / "m.gguf")))
    with pytest.raises(DeviceError, match="but cpu has"):
        fits.check_fits(
            METHODS["stored"], source, fits.Place(devices=("cpu",)), others={}, available=lambda device: 1000
        )


def test_on_a_gpu_blocks_keep_their_bytes_and_floats_have_two(tmp_path: Path) -> None:
    source = open_source(str(write_tiny(tmp_path / "m.gguf")))
    expected, blocks, floats = expected_bytes(METHODS["stored"], source, "cuda:0"), 0, 0
    decoder = METHODS["stored"].load(source, LoadSettings(device="cpu", dtype="float16")).decoder
    for _, tensor in decoder.resident_tensors():
        if tensor.is_floating_point():
            floats += tensor.numel()
        else:
            blocks += tensor.nbytes
    assert blocks and floats
    assert expected == blocks + 2 * floats


def test_on_a_gpu_files_of_other_formats_do_not_tell(tmp_path: Path) -> None:
    source = open_source(str(write_folder(tmp_path / "m")))
    assert expected_bytes(METHODS["stored"], source, "cuda:0") is None
