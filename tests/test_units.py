"""Figures as people read them."""

import pytest

from quantbench.errors import unknown
from quantbench.units import parse_bytes, parse_seconds, show_bytes, show_count, show_seconds


@pytest.mark.parametrize(
    ("count", "text"),
    [(812, "812 B"), (15_800_000, "15.8 MB"), (988_065_536, "0.988 GB"), (15_231_000_000, "15.2 GB")],
)
def test_bytes_keep_three_figures(count: int, text: str) -> None:
    assert show_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0000021, "2.1 µs"), (0.00123, "1.23 ms"), (4.5, "4.5 s"), (200.0, "3 min 20 s")],
)
def test_seconds_keep_three_figures(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(494_032_768, "0.494 B"), (7_300_000, "7.3 M")])
def test_parameters_are_shown_in_billions_or_millions(count: int, text: str) -> None:
    assert show_count(count) == text


def test_an_unknown_name_gets_the_nearest_and_all_choices() -> None:
    assert unknown("method", "in8", ["fp16", "int8"]) == (
        "unknown method 'in8'; did you mean 'int8'? choose from: fp16, int8"
    )


@pytest.mark.parametrize(
    ("text", "count"), [("2GB", 2_000_000_000), ("512 MiB", 536_870_912), ("1.5kb", 1500), ("77 B", 77)]
)
def test_bytes_are_read_with_their_unit(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("1.5 s", 1.5), ("3s", 3.0), ("40µs", 4e-5)])
def test_seconds_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["fast", "-1s", "2 GB", "", "1e3ms", "3", "9" * 400 + "s"])
def test_seconds_in_another_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number with one of the units"):
        parse_seconds(text)
