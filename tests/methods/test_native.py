"""What a native load counts as loading."""

import time
from dataclasses import replace

import pytest

from quantbench.engine.cpu import build, operations
from quantbench.methods import METHODS, LoadSettings
from tests.model_folders import tiny_source

SLOW_S = 0.5


def test_compiling_kernels_is_not_counted_as_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    built = build.load_kernels()
    waited: list[float] = []

    def slow_once() -> build.Built:
        if not waited:
            waited.append(SLOW_S)
            time.sleep(SLOW_S)
        return replace(built, seconds=SLOW_S)

    for module in (build, operations):
        monkeypatch.setattr(module, "load_kernels", slow_once)
    settings = LoadSettings(device="cpu", dtype="float32", engine="native")
    startup = METHODS["fp16"].load(tiny_source(), settings).startup
    assert startup.load_s is not None and startup.load_s < SLOW_S
    assert startup.compile_s == SLOW_S
