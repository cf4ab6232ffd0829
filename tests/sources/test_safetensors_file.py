import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from quantbench.errors import ModelError
from quantbench.sources.safetensors_file import read_header, read_tensor


def write(path: Path, entries: dict[str, Any], data: bytes) -> Path:
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def entry(dtype: str = "F16", shape: tuple[int, ...] = (2,), end: int = 4) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [0, end]}


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.uint8, torch.bool]
)
def test_a_tensor_comes_back_as_it_was_saved(dtype: torch.dtype, tmp_path: Path) -> None:
    saved = {"a": (torch.arange(12) % 2).reshape(3, 4).to(dtype), "b": torch.ones(5).to(dtype)}
    save_file(saved, tmp_path / "m.safetensors")
    header = read_header(tmp_path / "m.safetensors")
    assert all(torch.equal(read_tensor(header[name]), tensor) for name, tensor in saved.items())


def test_a_scalar_and_an_empty_tensor_come_back(tmp_path: Path) -> None:
    saved = {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}
    save_file(saved, tmp_path / "m.safetensors")
    header = read_header(tmp_path / "m.safetensors")
    assert read_tensor(header["scalar"]).item() == 2.5
    assert read_tensor(header["empty"]).shape == (0, 3)


def test_metadata_are_no_tensor(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "m.safetensors", metadata={"format": "pt"})
    assert set(read_header(tmp_path / "m.safetensors")) == {"a"}


@pytest.mark.parametrize("missing", [1, 100])
def test_a_truncated_file_is_told_with_its_bytes(missing: int, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(ModelError, match=r"truncated: it has .* download or copy it again"):
        read_header(path)


def test_a_file_cut_within_its_header_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ModelError, match="truncated"):
        read_header(path)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 64])
def test_a_file_that_is_no_safetensors_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        read_header(path)


def test_a_header_that_is_not_json_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 4) + b"{{{{")
    with pytest.raises(ModelError, match="not valid JSON"):
        read_header(path)


@pytest.mark.parametrize(
    "wrong",
    [
        entry(end=6),
        entry(shape=(3,)),
        entry(shape=(-2,)),
        {"dtype": "F16"},
        "nonsense",
        entry() | {"data_offsets": [0, float("inf")]},
        entry() | {"data_offsets": [0, 4.0]},
        entry() | {"shape": ["2"]},
    ],
)
def test_an_entry_that_contradicts_itself_is_damaged(wrong: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {"a": wrong}, bytes(8))
    with pytest.raises(ModelError, match="'a'"):
        read_header(path)


def test_an_unknown_type_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", {"a": entry(dtype="F3")}, bytes(8))
    with pytest.raises(ModelError, match="type F3"):
        read_header(path)


def test_a_file_that_shrinks_after_opening_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.ones(100)}, path)
    stored = read_header(path)["a"]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match="truncated"):
        read_tensor(stored)
