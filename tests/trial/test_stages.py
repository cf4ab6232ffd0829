"""A trial's process belongs to the device that it was asked to measure."""

import pytest
import torch

from quantbench.trial.stages import make_current


@pytest.mark.parametrize(("device", "made"), [("cuda:1", ["cuda:1"]), ("cpu", [])])
def test_the_trials_device_becomes_the_current_one(
    monkeypatch: pytest.MonkeyPatch, device: str, made: list[str]
) -> None:
    found: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    make_current(device)
    assert found == made
