"""Tests marked `gpu` run on the first CUDA device and on the last; without one they are skipped.

With QUANTBENCH_TEST_ARM=armv8.2-a+dotprod, say, the CPU kernels are those of such a processor, emulated.
"""

import os
from collections.abc import Iterator
from functools import wraps

import pytest
import torch

ARM = "QUANTBENCH_TEST_ARM"


def pytest_configure() -> None:
    """Put the emulated kernels in the place of this machine's, where they are asked for."""
    if features := os.environ.get(ARM):
        from quantbench.engine.cpu import build
        from tests.arm import arm_library

        built = build.Built(arm_library(features))  # type: ignore[arg-type]
        build.load_kernels = wraps(build.load_kernels.__wrapped__)(lambda: built)
        from quantbench.engine.cpu import layers

        layers.cpu_layers = lambda *_: None  # its arrays hold addresses, which mean nothing over there


def cuda_devices() -> list[str]:
    """The first and the last CUDA device, which may be one; a name that says so where there is none."""
    return [f"cuda:{index}" for index in sorted({0, max(0, torch.cuda.device_count() - 1)})]


@pytest.fixture(params=cuda_devices())
def cuda(request: pytest.FixtureRequest) -> torch.device:
    """A CUDA device, which need not be the current one."""
    return torch.device(request.param)


@pytest.fixture
def current_cuda(cuda: torch.device) -> Iterator[torch.device]:
    """A CUDA device that is the current one: for kernels that are launched without the engine around them."""
    with torch.cuda.device(cuda):
        yield cuda


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU that is not here."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _the_same_numbers_in_every_run() -> None:
    torch.manual_seed(0)
