from collections.abc import Sequence

import pytest

from quantbench.analysis.compare import Changes, Difference, Kind, compare_results
from quantbench.analysis.comparison.rows import read_results
from quantbench.records import Bandwidth, Record
from tests.report_records import failed, full_record, other_trial, reference_records, speed_point


def compared(old: Sequence[Record], new: Sequence[Record]) -> Changes:
    return compare_results(read_results(old, "fp16"), read_results(new, "fp16"))


def fp16(speed: float = 40.0, *, size: float = 1.0, solved: range = range(57)) -> list[Record]:
    return [full_record("fp16", size, speed, 1.2, solved)]


def entry(comparison: Changes, figure: str) -> Difference:
    return next(found for found in comparison.differences if found.figure.startswith(figure))


def test_same_folder_twice_has_no_real_change() -> None:
    assert {d.kind for d in compared(reference_records(), reference_records()).differences} == {Kind.SAME}


def test_slower_decode_is_a_regression() -> None:
    found = entry(compared(fp16(40.0), fp16(30.0)), "decode")
    assert (found.kind, found.old, found.new) == (Kind.REGRESSION, "40.0 tokens/s", "30.0 tokens/s")


def test_faster_decode_is_an_improvement() -> None:
    assert entry(compared(fp16(40.0), fp16(50.0)), "decode").kind is Kind.IMPROVEMENT


def test_change_below_the_tolerance_is_none_although_the_intervals_are_apart() -> None:
    found = entry(compared(fp16(40.0), fp16(39.2)), "decode")
    assert (found.kind, found.why) == (Kind.SAME, "within the tolerance of 5 %")


def one_process(speed: float) -> list[Record]:
    (found,) = fp16(speed)
    return [found.model_copy(update={"speed": (speed_point(speed, passes=1),)})]


def test_one_process_each_decides_nothing_and_says_what_would() -> None:
    found = entry(compared(one_process(40.0), one_process(36.0)), "decode")
    assert found.kind is Kind.UNDECIDED and "two a round" in found.why


def test_machine_that_reads_memory_more_slowly_is_no_regression() -> None:
    (slow,) = fp16(34.0)
    changed = slow.model_copy(update={"bandwidth": Bandwidth(read_bytes_per_s=3.6e12, method="sum")})
    comparison = compared(fp16(40.0), [changed])
    assert entry(comparison, "decode").kind is Kind.SAME
    assert "22 % apart" in comparison.notes[-1]


def test_asked_tolerance_is_the_one_that_counts() -> None:
    old, new = (read_results(fp16(speed), "fp16") for speed in (40.0, 39.2))
    assert entry(compare_results(old, new, 0.01), "decode").kind is Kind.REGRESSION


def test_any_larger_size_is_a_regression() -> None:
    assert entry(compared(fp16(), fp16(size=1.001)), "model size").kind is Kind.REGRESSION


def test_ten_lost_problems_are_a_regression() -> None:
    assert entry(compared(fp16(), fp16(solved=range(47))), "HumanEval").kind is Kind.REGRESSION


def test_three_lost_problems_are_no_real_change() -> None:
    assert entry(compared(fp16(), fp16(solved=range(54))), "HumanEval").kind is Kind.SAME


def test_scores_under_another_protocol_are_not_compared() -> None:
    (new,) = fp16(solved=range(10))
    tasks = tuple(task.model_copy(update={"protocol": "other-v1"}) for task in new.tasks)
    found = entry(compared(fp16(), [new.model_copy(update={"tasks": tasks})]), "HumanEval")
    assert found.kind is Kind.UNKNOWN and "protocol" in found.why


def test_new_method_is_named() -> None:
    assert "int4 is only in the new folder" in compared(reference_records()[:2], reference_records()).notes


def test_method_that_is_gone_is_lost() -> None:
    (lost,) = compared(reference_records(), reference_records()[:2]).failures
    assert (lost.label, lost.figure, lost.kind) == ("int4", "the method", Kind.LOST)


def test_method_that_failed_is_lost_with_its_reason() -> None:
    old = reference_records()
    lost = compared(old, [*old[:2], failed(old[2])]).failures
    assert lost[0].why == "it failed while in 'load': CUDA out of memory"
    assert "model size" in [entry.figure for entry in lost]


def test_figure_that_is_gone_is_lost() -> None:
    (old,) = fp16()
    (lost,) = compared([old], [old.model_copy(update={"tasks": ()})]).failures
    assert (lost.figure, lost.kind) == ("HumanEval pass@1", Kind.LOST)


def test_other_driver_is_named() -> None:
    (new,) = fp16()
    changed = new.model_copy(update={"environment": new.environment.model_copy(update={"driver": "580.2"})})
    assert "driver differs: 570.1 then, 580.2 now" in compared(fp16(), [changed]).notes


def test_other_models_are_refused_with_both_names() -> None:
    with pytest.raises(ValueError, match=r"different models, Qwen/Qwen2.5-0.5B and builtin"):
        compared(fp16(), [other_trial(record, model="builtin") for record in fp16()])


def test_regressions_are_what_a_gate_looks_at() -> None:
    assert [d.figure for d in compared(fp16(40.0), fp16(30.0)).failures] == ["decode, batch 1, prompt 128"]


def test_other_settings_are_named() -> None:
    other = [other_trial(r, batch_invariant=True) for r in fp16()]
    assert "batch_invariant differs: default then, True now" in compared(fp16(), other).notes
