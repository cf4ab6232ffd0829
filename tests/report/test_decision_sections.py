"""The sections on pairs, distance, front, weightings and reasons."""

import pytest

from quantbench.analysis import analyse
from quantbench.records import Record
from quantbench.report.markdown import render_markdown
from quantbench.report.sections import sections_of
from tests.analysis.distances import baseline_distance, floor_record, make_distance
from tests.report_records import record, reference_records, speed_point

SPREAD = [0.01 * (1 + number / 20) for number in range(20)]


def measured_records() -> list[Record]:
    """The reference's records with distances, a second batch size and a rerun of the baseline."""
    own = [baseline_distance(), make_distance(SPREAD), make_distance([10 * value for value in SPREAD])]
    speeds = [(40.0, 300.0), (32.0, 200.0), (28.0, 400.0)]
    records = [
        old.model_copy(
            update={
                "distance": distance,
                "speed": (speed_point(one), speed_point(eight, batch_size=8)),
            }
        )
        for old, distance, (one, eight) in zip(reference_records(), own, speeds, strict=True)
    ]
    return [*records, floor_record(solved=range(56), kl=[1e-6] * 20)]


@pytest.fixture(scope="module")
def text() -> str:
    return render_markdown("title", sections_of(analyse(measured_records(), "fp16")))


def test_pairs_are_shown_with_their_verdict(text: str) -> None:
    row = "| int8 | 5 | 10 | -3.0 | -8.3 to +1.8 | 0.302 | ±6.7 | cannot be told apart |"
    assert row in text


def test_noise_floor_stands_below_the_methods(text: str) -> None:
    assert "| fp16 again, batch 31 | 0 | 1 | — | — | — | — | noise floor |" in text


def test_distance_names_the_bound_and_the_texts(text: str) -> None:
    assert "Teacher-forced over 1,000 tokens: made-up texts." in text
    assert "a lower bound of the one over the whole vocabulary" in text


def test_distance_is_judged_against_the_floor(text: str) -> None:
    line = next(line for line in text.splitlines() if line.startswith("| int4 | 0.1"))
    assert line.endswith("| beyond the noise floor |")


def test_every_method_on_the_front_is_listed(text: str) -> None:
    assert text.count("**: on the front") == 3


def test_shares_of_weightings_are_shown(text: str) -> None:
    assert "| Method | Wins under (% of all weightings) |" in text


def test_crossover_batch_is_named(text: str) -> None:
    assert (
        "- **int4, prompt of 128 tokens**: slower at batch 1, faster at batch 8; it turns at batch 8." in text
    )


def test_every_method_is_diagnosed(text: str) -> None:
    assert text.count("bound by launches and waiting") == 3


def test_speed_only_records_have_none_of_the_quality_sections() -> None:
    records = [record(name, speed=(speed_point(rate),)) for name, rate in (("fp16", 40.0), ("int8", 32.0))]
    keys = {section.key for section in sections_of(analyse(records, "fp16"))}
    assert keys.isdisjoint({"paired", "distance"})
