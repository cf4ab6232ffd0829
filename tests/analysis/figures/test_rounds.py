import pytest

from quantbench.analysis.comparison.rows import Row, read_results, read_row
from quantbench.analysis.figures.rounds import merge_rounds
from quantbench.analysis.findings.interference import signs_of_interference
from quantbench.plan import Role
from quantbench.records import Failure, Record
from tests.report_records import record, speed_point


def in_round(number: int, rate: float, **sections: object) -> Record:
    """An fp16 speed trial of this round; round 0 is the method's own trial."""
    own = record("fp16")
    trial = own.trial
    if number:
        trial = trial.changed(role=Role.ROUND, round=number, tasks=())
    facts: dict[str, object] = {"speed": (speed_point(rate, spread=(1.0, 1.0), passes=1),)}
    return record("fp16", trial=trial, **(facts | sections))


def row_of(*records: Record) -> Row:
    (row,) = read_results(records, "fp16").rows
    return row


def test_repetitions_of_all_rounds_stand_together_with_their_numbers() -> None:
    (merged,) = merge_rounds([in_round(0, 40.0), in_round(2, 42.0), in_round(1, 41.0)])
    assert merged.speed[0].round_of == (0, 0, 1, 1, 2, 2)
    assert len(merged.speed[0].decode_s) == 6


def test_speed_over_rounds_is_the_median_of_the_rounds() -> None:
    speed = row_of(*(in_round(number, 40.0 + number) for number in range(3))).speed
    assert speed is not None and speed.decode is not None
    assert speed.decode.value == pytest.approx(41.0)


def test_few_rounds_show_their_range_and_say_so() -> None:
    speed = row_of(in_round(0, 40.0), in_round(1, 44.0)).speed
    assert speed is not None and speed.decode is not None and speed.decode.interval is not None
    assert speed.decode.ranged
    assert speed.decode.interval.high == pytest.approx(44.0)


def test_rounds_make_no_rows_of_their_own() -> None:
    assert row_of(in_round(0, 40.0), in_round(1, 44.0)).label == "fp16"


@pytest.mark.parametrize("setting", [{"threads": 7}, {"batch_invariant": True}])
def test_round_of_another_setting_is_not_mixed_in(setting: dict[str, object]) -> None:
    other = in_round(1, 44.0)
    other = other.model_copy(update={"trial": other.trial.changed(**setting)})
    (merged,) = merge_rounds([in_round(0, 40.0), other])
    assert merged.speed[0].round_of == ()


def test_failed_round_is_a_warning_of_its_method() -> None:
    failure = Failure(stage="load", kind="killed", message="ended by SIGKILL")
    (merged,) = merge_rounds([in_round(0, 40.0), in_round(1, 40.0, speed=(), failure=failure)])
    assert merged.warnings == ("pass 2 of the speed failed while in 'load': ended by SIGKILL",)


def test_drift_between_rounds_is_said() -> None:
    (merged,) = merge_rounds([in_round(0, 40.0), in_round(1, 44.0)])
    assert any("the rounds differ by 9.5 %" in sign for sign in signs_of_interference(read_row(merged, True)))


def test_gpu_that_was_busy_before_is_said() -> None:
    own = record("fp16", speed=(speed_point(40.0),))
    extra = {"utilization_percent": 60, "memory_used_bytes": 30_000_000_000}
    busy = own.model_copy(update={"environment": own.environment.model_copy(update={"extra": extra})})
    signs = list(signs_of_interference(read_row(busy, True)))
    assert "the GPU was 60 % busy" in signs[0]
    assert "30 GB of the GPU's memory" in signs[1]


def test_a_gpu_with_this_process_alone_was_busy_with_the_trial_before() -> None:
    own = record("fp16", speed=(speed_point(40.0),))
    extra = {"utilization_percent": 30, "memory_used_bytes": 510_000_000}
    after = own.model_copy(update={"environment": own.environment.model_copy(update={"extra": extra})})
    assert not list(signs_of_interference(read_row(after, True)))
