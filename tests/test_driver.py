"""What the driver says of GPUs is what torch says, and where only torch can tell it is asked."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from quantbench import driver


def test_as_many_gpus_are_seen_as_torch_sees() -> None:
    assert driver.gpu_count() == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


@pytest.mark.parametrize(
    ("line", "cuda"),
    [
        ("cuda: Optional[str] = '13.0'", 13),
        ('cuda = "12.8"', 12),
        ("cuda: Optional[str] = None", 0),
        ("hip: Optional[str] = '6.1'", None),
    ],
)
def test_the_cuda_of_torch_is_read_from_its_files(
    line: str, cuda: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(f"__version__ = '2.11.0+cu130'\ndebug = False\n{line}\n")
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(driver, "find_spec", lambda name: found)
    assert driver.cuda_of_torch() == cuda


def test_a_driver_older_than_torch_wants_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(cuDriverGetVersion=lambda version: 0, cuDeviceGetCount=lambda count: 0)
    monkeypatch.setattr(driver, "driver_library", lambda: old)
    monkeypatch.setattr(driver, "cuda_of_torch", lambda: 13)
    assert driver.gpu_count() is None


def test_without_a_driver_there_is_no_free_memory_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "driver_library", lambda: None)
    assert driver.free_bytes(0) is None
