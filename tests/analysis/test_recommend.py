from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.recommend import Choice, Requirements, choose
from tests.report_records import full_record, record, reference_records, reference_totals, speed_point


def chosen(**limits: float) -> Choice:
    return choose(read_results(reference_records(), "fp16"), Requirements(**limits))  # type: ignore[arg-type]


def reasons(choice: Choice, label: str) -> list[str]:
    candidate = next(c for c in choice.candidates if c.label == label)
    return [check.text for check in candidate.checks if not check.met]


def test_fastest_that_fits_into_memory_is_chosen() -> None:
    assert chosen(max_memory_bytes=1_000_000_000).label == "int8"


def test_each_method_that_falls_out_says_why() -> None:
    choice = chosen(max_memory_bytes=1_000_000_000, min_recovery=0.9)
    assert reasons(choice, "fp16") == ["memory 1.2 GB > 1 GB"]
    assert reasons(choice, "int4") == ["recovery on humaneval 0.81 < 0.90"]


def test_limits_that_nobody_meets_choose_nobody() -> None:
    choice = chosen(min_speed=1000)
    assert choice.label is None and "no measured method" in choice.reason


def test_baseline_recovers_itself() -> None:
    assert reasons(chosen(min_recovery=1.0), "fp16") == []


def test_figure_that_was_not_measured_meets_no_limit() -> None:
    records = [*reference_records(), record("bf16", speed=reference_records()[0].speed)]
    choice = choose(read_results(records, "fp16"), Requirements(max_memory_bytes=10**10))
    assert reasons(choice, "bf16") == ["memory not measured"]


def test_equally_fast_methods_are_decided_by_size() -> None:
    records = [full_record("fp16", 1.0, 40.0, 1.2, range(57)), full_record("int8", 0.5, 40.0, 0.8, range(57))]
    choice = choose(read_results(records, "fp16"), Requirements())
    assert choice.label == "int8" and "differs by less than 5 %" in choice.reason


def test_limit_inside_the_interval_is_marked_unsure() -> None:
    int8 = next(c for c in chosen(min_recovery=0.91).candidates if c.label == "int8")
    assert int8.meets_all and not int8.checks[0].sure


def test_recovery_without_single_outcomes_is_still_checked() -> None:
    choice = choose(read_results(reference_totals(), "fp16"), Requirements(min_recovery=0.9))
    assert reasons(choice, "int4") == ["recovery on humaneval 0.81 < 0.90"]


def test_ttft_is_a_limit() -> None:
    assert reasons(chosen(max_ttft_s=0.01), "int8") == ["TTFT 30 ms > 10 ms"]


def test_speed_that_is_not_decided_is_not_called_the_fastest() -> None:
    records = [
        record(name, size=reference_records()[0].size, speed=(speed_point(rate, passes=1),))
        for name, rate in (("fp16", 40.0), ("int8", 44.0))
    ]
    choice = choose(read_results(records, "fp16"), Requirements())
    assert choice.label == "int8"
    assert "not decided against fp16" in choice.reason and "fastest" not in choice.reason


def test_limit_that_another_run_might_miss_is_marked_unsure() -> None:
    """One process each: 8 % drift alone moves a speed by 16 % one time in twenty."""
    records = [
        record("fp16", speed=(speed_point(44.0, passes=1),)),
        record("int8", speed=(speed_point(60.0),)),
    ]
    found = {
        c.label: c.checks[0]
        for c in choose(read_results(records, "fp16"), Requirements(min_speed=40.0)).candidates
    }
    assert (found["fp16"].met, found["fp16"].sure) == (True, False)
    assert (found["int8"].met, found["int8"].sure) == (True, True)
