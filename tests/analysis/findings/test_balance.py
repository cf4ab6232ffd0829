"""The mean of min-max normalised size, speed and pass@1."""

import pytest

from quantbench.analysis.comparison.metrics import SIZE, SPEED
from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.balance import balance_of, normalise
from tests.report_records import full_record, reference_records, task_result


def test_the_references_figures_give_the_known_means() -> None:
    balance = balance_of(read_results(reference_records(), "fp16"))
    assert balance is not None
    means = {row.label: total for row, total in balance.totals}
    assert means["fp16"] == pytest.approx((0 + 1 + 1) / 3)
    assert means["int8"] == pytest.approx((2 / 3 + 1 / 3 + 6 / 11) / 3)
    assert means["int4"] == pytest.approx((1 + 0 + 0) / 3)


def test_the_smallest_size_is_one_and_the_largest_zero() -> None:
    assert normalise(SIZE, read_results(reference_records(), "fp16").rows) == pytest.approx(
        {"fp16": 0.0, "int8": 2 / 3, "int4": 1.0}
    )


def test_equal_figures_cannot_be_normalised() -> None:
    records = [full_record(name, 1, 40, 1, ()) for name in ("fp16", "int8")]
    assert normalise(SPEED, read_results(records, "fp16").rows) is None


def test_a_part_on_which_all_are_equal_is_left_out() -> None:
    records = [full_record("fp16", 1, 40, 1, range(57)), full_record("int8", 0.5, 40, 1, range(57))]
    balance = balance_of(read_results(records, "fp16"))
    assert balance is not None
    assert balance.parts == ("size",)


def test_a_method_without_every_part_is_not_ranked() -> None:
    records = reference_records()
    records[2] = records[2].model_copy(update={"speed": ()})
    balance = balance_of(read_results(records, "fp16"))
    assert balance is not None
    assert [row.label for row in balance.left_out] == ["int4"]
    assert {row.label for row, _ in balance.totals} == {"fp16", "int8"}


def test_several_tasks_count_as_one_part() -> None:
    def two_tasks(name: str, size: float, solved: int) -> object:
        record = full_record(name, size, 40, 1, range(50))
        quick = task_result(range(solved), 20, task="quickeval")
        return record.model_copy(update={"tasks": (*record.tasks, quick)})

    results = read_results([two_tasks("fp16", 1, 20), two_tasks("int8", 0.5, 0)], "fp16")  # type: ignore[list-item]
    balance = balance_of(results)
    assert balance is not None
    assert {row.label: total for row, total in balance.totals} == {"fp16": 0.5, "int8": 0.5}


def test_without_noise_leaves_out_what_no_two_methods_differ_on() -> None:
    balance = balance_of(read_results(reference_records(), "fp16"), without_noise=True)
    assert balance is not None
    assert balance.parts == ("size", "speed")


def test_one_method_has_no_balance() -> None:
    assert balance_of(read_results(reference_records()[:1], "fp16")) is None
