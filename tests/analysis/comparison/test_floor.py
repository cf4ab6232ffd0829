from collections.abc import Sequence

import pytest

from quantbench.analysis import Analysis, analyse
from quantbench.analysis.comparison.paired import Change, PairedScore
from quantbench.records import Record
from tests.analysis.distances import baseline_distance, floor_record, make_distance
from tests.report_records import full_record, reference_records

RERUN = [*range(1, 57), 160]  # fp16 solves 0 to 56; the rerun loses one and wins another


def analysed(solved: Sequence[int], *floors: Record, kl: float | None = None) -> Analysis:
    """fp16, an int8 that solves these problems at this divergence, and records of reruns."""
    records = [full_record("fp16", 1, 40, 1, range(57)), full_record("int8", 0.5, 40, 1, solved)]
    if kl is not None:
        own = (baseline_distance(), make_distance([kl] * 20))
        records = [r.model_copy(update={"distance": d}) for r, d in zip(records, own, strict=True)]
    return analyse([*records, *floors], "fp16")


def int8(analysis: Analysis) -> PairedScore:
    return next(pair for pair in analysis.paired if pair.label == "int8")


def test_flips_of_the_rerun_are_counted_both_ways() -> None:
    floor = floor_record(solved=[*range(2, 57), 160])
    (flips,) = analyse([*reference_records(), floor], "fp16").floor
    assert (flips.gained, flips.lost, flips.flips) == (1, 2, 3)


def test_another_number_format_is_no_rerun() -> None:
    analysis = analysed(range(50), floor_record(solved=range(40), method="bf16"))
    assert analysis.floor == ()
    assert not int8(analysis).like_rerun


def test_another_number_format_has_its_own_figures_outside_every_correction() -> None:
    bf16 = floor_record(solved=range(51), method="bf16")
    alone, beside = analysed(range(50)), analysed(range(50), bf16)
    assert [(pair.label, pair.lost) for pair in beside.scale] == [("bf16 (for scale)", 6)]
    assert int8(beside).adjusted_p == int8(alone).adjusted_p


def test_as_many_flips_as_a_rerun_in_the_same_directions_are_like_a_rerun() -> None:
    assert int8(analysed([*range(1, 57), 161], floor_record(solved=RERUN))).like_rerun


def test_as_many_flips_as_a_rerun_that_are_all_losses_are_not_like_one() -> None:
    assert not int8(analysed(range(2, 57), floor_record(solved=RERUN))).like_rerun


@pytest.mark.parametrize(("kl", "like"), [(1e-5, True), (0.01, False)])
def test_pairs_never_contradict_the_distance(kl: float, like: bool) -> None:
    floor = floor_record(solved=RERUN, kl=[2e-5] * 20)
    assert int8(analysed(RERUN, floor, kl=kl)).like_rerun is like


def test_a_proven_change_is_never_like_a_rerun() -> None:
    pair = int8(analysed(range(40), floor_record(solved=range(30))))
    assert pair.change is Change.WORSE
    assert not pair.like_rerun


def test_without_a_rerun_nothing_is_like_one() -> None:
    assert not int8(analysed(range(57))).like_rerun


def test_divergence_does_not_rank_methods_whose_scores_show_no_change() -> None:
    records = [full_record(name, 1, 40, 1, range(57)) for name in ("fp16", "int8", "int4")]
    own = (baseline_distance(), make_distance([1e-4] * 20), make_distance([1e-3] * 20))
    records = [r.model_copy(update={"distance": d}) for r, d in zip(records, own, strict=True)]
    caveat = analyse(records, "fp16").kl_caveat
    assert caveat is not None and "int8 and int4" in caveat


def test_divergence_of_a_single_close_method_has_no_caveat() -> None:
    assert analysed(range(57), kl=1e-4).kl_caveat is None
