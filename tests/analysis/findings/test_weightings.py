import pytest

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.weightings import win_shares
from tests.report_records import full_record, reference_records


def test_shares_of_two_opposed_methods_are_halves() -> None:
    # One is best at size and memory, the other at speed and quality: the halves of the simplex.
    records = [
        full_record("fp16", 1.0, 40.0, 1.2, range(150)),
        full_record("int4", 0.25, 28.0, 0.5, range(140)),
    ]
    found = win_shares(read_results(records, "fp16"))
    assert found is not None
    assert dict(found.shares) == pytest.approx({"fp16": 0.5, "int4": 0.5}, abs=0.01)


def test_method_best_at_everything_wins_every_weighting() -> None:
    records = [
        full_record("fp16", 1.0, 40.0, 1.2, range(46)),
        full_record("int4", 0.25, 60.0, 0.5, range(57)),
    ]
    found = win_shares(read_results(records, "fp16"))
    assert found is not None
    assert found.shares[0] == ("int4", 1.0)


def test_two_parts_are_weighted_along_a_line() -> None:
    # Sizes 1, 0.4, 0 scaled and speeds 0, 0.9, 1: with weight w on size the shares are exact.
    records = [
        full_record("fp16", 0.5, 20.0, 1.0, range(57)),
        full_record("int8", 0.8, 38.0, 1.0, range(57)),
        full_record("int4", 1.0, 40.0, 1.0, range(57)),
    ]
    found = win_shares(read_results(records, "fp16"))
    assert found is not None
    assert found.parts == ("size", "speed")
    # int8 beats fp16 below w = 0.6, and int4 above w = 0.2.
    assert dict(found.shares) == pytest.approx({"fp16": 0.4, "int8": 0.4, "int4": 0.2}, abs=0.01)


def test_shares_sum_to_one_and_repeat_exactly() -> None:
    results = read_results(reference_records(), "fp16")
    found = win_shares(results)
    assert found is not None and found == win_shares(results)
    assert sum(share for _, share in found.shares) == pytest.approx(1)


def test_part_that_only_noise_decides_is_left_out() -> None:
    found = win_shares(read_results(reference_records(), "fp16"))
    assert found is not None
    assert found.parts == ("size", "memory", "speed")
    assert found.noise == ("quality",)


def test_one_method_has_no_weightings() -> None:
    assert win_shares(read_results(reference_records()[:1], "fp16")) is None


def test_a_method_without_memory_is_named_as_left_out() -> None:
    records = reference_records()
    records[1] = records[1].model_copy(update={"memory": None})
    found = win_shares(read_results(records, "fp16"))
    assert found is not None
    assert found.left_out == ("int8",)
