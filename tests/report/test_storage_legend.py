"""What the legend of sizes says of texts that calibrated a method."""

from types import SimpleNamespace
from typing import Any

from quantbench.records import Calibration
from quantbench.report.sections.speed import storage_legend


def legend(**facts: Any) -> str:
    calibration = Calibration(**{"text": "mine.txt", "sha256": "ab" * 32, "tokens": 4096, **facts})
    row: Any = SimpleNamespace(record=SimpleNamespace(calibration=calibration))
    return storage_legend([row, row])


def test_each_text_is_named_once_with_its_hash() -> None:
    assert legend().count("4,096 tokens of mine.txt (sha256 abababababab)") == 1


def test_scales_by_mean_squares_and_error_feedback_are_told_apart() -> None:
    assert "mean square of its input" in legend() and "GPTQ" not in legend()
    assert "error feedback" in legend(feedback=True) and "mean square" not in legend(feedback=True)


def test_ids_that_were_drawn_are_told_as_such() -> None:
    assert "Probed: 4,096 token ids drawn at random (sha256 abababababab)" in legend(text=None)
