"""The sections on pairs, distance, front, weightings and reasons."""

import pytest

from quantbench.analysis import analyse
from quantbench.records import Record
from quantbench.report.formats.markdown import render_markdown
from quantbench.report.sections import sections_of
from quantbench.report.sections.setup import describe_gpu_state
from tests.analysis.distances import baseline_distance, floor_record, make_distance
from tests.report_records import ENVIRONMENT, full_record, record, reference_records, speed_point

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
    row = "| int8 | 5 | 10 | 9.1 [5.6, 14.5] | -3.0 | -8.3 to +1.8 | 0.302 | ±7.5 |"
    assert f"{row} not significantly different |" in text


def test_noise_floor_stands_below_the_methods(text: str) -> None:
    assert "| fp16 again, batch 31 | 0 | 1 | 0.6 [0.1, 3.4] | — | — | — | — | noise floor |" in text


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
    assert text.count("no single cause was shown. A step takes") == 3


def test_speed_only_records_have_none_of_the_quality_sections() -> None:
    records = [record(name, speed=(speed_point(rate),)) for name, rate in (("fp16", 40.0), ("int8", 32.0))]
    keys = {section.key for section in sections_of(analyse(records, "fp16"))}
    assert keys.isdisjoint({"paired", "distance"})


def test_method_that_changes_no_more_than_a_rerun_is_called_so() -> None:
    records = [*reference_records()[:1], full_record("int8", 0.5, 32.0, 0.8, [*range(1, 57), 99])]
    floor = floor_record(solved=[*range(2, 57), 160])
    text = render_markdown("title", sections_of(analyse([*records, floor], "fp16")))
    assert "not significantly different, no more changed than in a rerun |" in text


def test_gpu_state_before_the_trials_is_shown_as_far_as_it_is_known() -> None:
    extra = {"sm_clock_mhz": 1980, "power_state": 0, "nvml": "not asked"}
    environment = ENVIRONMENT.model_copy(update={"extra": extra})
    assert describe_gpu_state(environment) == "SM clock 1980 MHz, power state P0"
    assert describe_gpu_state(ENVIRONMENT) is None
