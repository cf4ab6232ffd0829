"""Records as rows."""

import pytest

from quantbench.analysis.comparison.rows import read_results
from tests.report_records import failed, other_trial, record, reference_records, speed_point


def test_the_baseline_is_the_first_row_wherever_its_record_stands() -> None:
    results = read_results(reference_records(), "int4")
    assert [row.label for row in results.rows] == ["int4", "fp16", "int8"]


def test_a_floor_is_no_row() -> None:
    records = reference_records()
    floor = other_trial(records[0], role="floor", batch_size=31)
    results = read_results([*records, floor], "fp16")
    assert [row.label for row in results.rows] == ["fp16", "int8", "int4"]
    assert results.floors == (floor,)


def test_the_headline_is_the_first_batch_size_and_prompt_of_the_trial() -> None:
    points = (speed_point(400.0, batch_size=8), speed_point(40.0, batch_size=1))
    swept = other_trial(record("fp16", speed=points), batch_sizes=(1, 8))
    (row,) = read_results([swept], "fp16").rows
    assert row.speed is not None
    assert row.speed.batch_size == 1


def test_a_headline_that_failed_is_missing_even_when_other_points_were_measured() -> None:
    dead = speed_point(1.0).model_copy(update={"decode_s": (), "ttft_s": (), "failure": "killed"})
    swept = other_trial(record("fp16", speed=(dead, speed_point(400.0, batch_size=8))), batch_sizes=(1, 8))
    (row,) = read_results([swept], "fp16").rows
    assert row.speed is None
    assert len(row.sweep) == 2


def test_the_newer_of_two_records_of_a_method_counts_and_it_is_said() -> None:
    old = reference_records()[0]
    new = other_trial(old, seed=1).model_copy(update={"created_at": "2026-02-01T00:00:00+00:00"})
    results = read_results([new, old], "fp16")
    assert [row.record for row in results.rows] == [new]
    assert "older record of fp16" in results.left_out[0]


def test_records_of_another_model_are_left_out_and_it_is_said() -> None:
    old = other_trial(reference_records()[0], model="other/model")
    new = reference_records()[1].model_copy(update={"created_at": "2026-02-01T00:00:00+00:00"})
    results = read_results([old, new], "fp16")
    assert [row.label for row in results.rows] == ["int8"]
    assert "other/model" in results.left_out[0]


def test_a_failed_record_is_a_row_without_figures() -> None:
    (row,) = read_results([failed(reference_records()[0])], "fp16").rows
    assert not row.measured


def test_no_record_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        read_results([], "fp16")
