"""benchmarks/quality.py: its methods exist, and the formats that it compares with are what they are named."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from quantbench.methods import METHODS

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield import_module("quality")
    for name in set(sys.modules) - before:
        if name.startswith("quality"):
            del sys.modules[name]


def test_every_method_that_it_measures_by_default_exists(lab: ModuleType) -> None:
    assert set(lab.DEFAULT.split(",")) <= {*import_module("quality_methods").OTHERS, *METHODS}


def test_formats_that_are_held_as_floats_come_closer_with_the_bits_that_they_spend(lab: ModuleType) -> None:
    w = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))

    def far(name: str) -> float:
        weight = import_module("quality_methods").OTHERS[name][0].quantize("w", w, None)
        return float((weight.dequantize() - w).square().mean())

    assert far("q4_k-like") < far("q4_0")
    assert far("nf4-g64") < far("rtn-g128")


def test_six_bits_hold_a_super_block_of_equal_scales(lab: ModuleType) -> None:
    methods = sys.modules["quality_methods"]
    values = torch.full((3, 28, 1), 0.25)  # 28 groups: the last super-block has four
    assert torch.allclose(methods.in_six_bits(values), values, rtol=1e-3)
