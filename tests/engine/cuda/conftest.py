"""Kernels run on GPUs where there are any; elsewhere in Triton's interpreter; without Triton not at all."""

import os
from collections.abc import Iterator

import pytest
import torch

from quantbench.engine.cuda.triton.launch import on_device
from tests.conftest import cuda_devices

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(params=cuda_devices() if torch.cuda.is_available() else ["cpu"])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Where kernels run; the current device, since a kernel alone is launched there."""
    pytest.importorskip("triton", reason="the kernels are Triton's")
    found = torch.device(request.param)
    with on_device(found):
        yield found
