"""Tokenizers of tests are their tokenizer.json as it stands: asking transformers for each takes seconds.

Calibration is of a few tokens.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from quantbench.methods import calibrating, mixed
from quantbench.sources import text
from quantbench.sources.transformers_tokenizer import Resolved


@pytest.fixture(autouse=True)
def plain_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(folder: Path, **_: object) -> Resolved:
        return Resolved((folder / "tokenizer.json").read_text(), False)

    monkeypatch.setattr(calibrating, "OF_SQUARES", replace(calibrating.OF_SQUARES, tokens=128))
    monkeypatch.setattr(calibrating, "OF_MOMENTS", replace(calibrating.OF_MOMENTS, tokens=128))
    monkeypatch.setattr(mixed, "OF_GRADIENTS", replace(mixed.OF_GRADIENTS, tokens=128))
    monkeypatch.setattr(text, "resolve_tokenizer", read)
