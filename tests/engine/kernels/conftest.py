"""Kernels run on the GPU where there is one; elsewhere in Triton's interpreter; without Triton not at all."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture
def device() -> torch.device:
    pytest.importorskip("triton", reason="the kernels are Triton's")
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
