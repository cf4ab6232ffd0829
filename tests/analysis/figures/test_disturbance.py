"""Disturbed speeds: told by waiting, not by idling; marked where shown, and nothing concluded from them."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantbench.analysis import Analysis, analyse
from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.figures.disturbance import ENOUGH, QUEUED, without_disturbed
from quantbench.analysis.recommend import Requirements, choose
from quantbench.records import Record, SpeedPoint
from quantbench.report.formats.markdown import render_markdown
from quantbench.report.sections import sections_of
from tests.report_records import other_trial, reference_records, speed_point

COUNT = 8


def point(queued: Sequence[float] = (), **more: object) -> SpeedPoint:
    return speed_point(40.0).model_copy(update={"queue_share": tuple(queued), **more})


def busy(record: Record, *, queued: float = 0.48) -> Record:
    points = tuple(
        p.model_copy(update={"queue_share": (queued,) * COUNT, "foreign_cores": (2.0,) * COUNT})
        for p in record.speed
    )
    return other_trial(record.model_copy(update={"speed": points}), device="cpu")


def found(*which: str) -> Analysis:
    records = [busy(r) if r.method in which else r for r in reference_records()]
    return analyse(records, "fp16")


def report(analysis: Analysis) -> str:
    return render_markdown("", sections_of(analysis))


def test_threads_that_idle_on_a_quiet_machine_are_no_sign_of_load() -> None:
    idle = point((0.004,) * COUNT, cpu_share=(0.62,) * COUNT, foreign_cores=(0.02,) * COUNT)
    assert without_disturbed(idle, threads=2, cores=2) == (idle, None)


def test_threads_that_wait_for_a_core_are_disturbed_whatever_their_share() -> None:
    waiting = point((0.45,) * COUNT, cpu_share=(0.98,) * COUNT, foreign_cores=(1.9,) * COUNT)
    _, why = without_disturbed(waiting, threads=2, cores=2)
    assert why == "its threads had no core for 45 % of their time (other programs kept 1.9 cores busy)"


def test_stolen_time_disturbs() -> None:
    _, why = without_disturbed(point((0.0,) * COUNT, steal_share=(0.2,) * COUNT), threads=2, cores=2)
    assert why == "the hypervisor took 20 % of the cores' time"


@pytest.mark.parametrize(("cores", "disturbed"), [(2, True), (4, False)])
def test_where_waiting_is_not_counted_others_disturb_when_there_is_no_core_left(
    cores: int, disturbed: bool
) -> None:
    _, why = without_disturbed(point(foreign_cores=(1.0,) * COUNT), threads=2, cores=cores)
    assert (why is not None) is disturbed


def test_kernels_of_other_programs_on_the_gpu_disturb() -> None:
    _, why = without_disturbed(point((0.0,) * COUNT, foreign_gpu=(0.4,) * COUNT), threads=1, cores=16)
    assert why == "other programs' kernels ran on the GPU for 40 % of the time"


def test_old_records_without_counters_are_taken_as_they_are() -> None:
    assert without_disturbed(point(), threads=2, cores=2) == (point(), None)


def test_a_few_disturbed_repetitions_are_left_out() -> None:
    clean, why = without_disturbed(point((0.5, *(0.0,) * 7)), threads=2, cores=2)
    assert why is None
    assert clean.decode_s == speed_point(40.0).decode_s[1:]


@given(st.lists(st.booleans(), min_size=2, max_size=30))
def test_only_clean_repetitions_are_kept_in_step(busy_ones: list[bool]) -> None:
    times = tuple(float(number) for number in range(len(busy_ones)))
    queued = tuple(2 * QUEUED if one else 0.0 for one in busy_ones)
    given_ = point(queued, ttft_s=times, decode_s=times, round_of=tuple(range(len(times))))
    clean, why = without_disturbed(given_, threads=2, cores=2)
    if why is None:
        assert not any(busy_ones[int(number)] for number in clean.decode_s)
        assert clean.ttft_s == clean.decode_s == tuple(float(number) for number in clean.round_of)
    else:
        assert busy_ones.count(False) < ENOUGH
        assert clean == given_


def test_a_disturbed_figure_is_shown_with_a_mark_and_explained() -> None:
    text = report(found("int4"))
    assert "| int4 | 0.250 | 28.0 † |" in text
    assert "†: disturbed by other programs" in text
    assert "| fp16 | 1.000 | 40.0 |" in text


def test_the_head_says_first_of_all_that_the_machine_was_busy_and_what_to_do() -> None:
    analysis = found("int4")
    head = report(analysis).split("## Summary")[1].strip()
    assert head.startswith("> [!CAUTION]\n> The machine was busy while the speed of int4 was measured")
    assert "--rounds 2" in head.splitlines()[1] and "\n" not in str(analysis.alert)


def test_a_quiet_run_has_no_such_line() -> None:
    assert analyse(reference_records(), "fp16").alert is None


def test_nothing_about_speed_is_concluded_from_disturbed_figures() -> None:
    analysis = found("fp16", "int8", "int4")
    choices = {s.title: s.choice for s in analysis.recommendations}
    assert choices["For latency-sensitive applications"] is None
    assert choices["Best overall balance"] is None
    assert choices["For resource-constrained environments"] == "int4"
    assert analysis.diagnoses == () and analysis.crossovers == ()
    assert all(s.title != "Inference speed" for s in analysis.observations)
    assert all("the speed" not in s.text and s.title != "Bits and speed" for s in analysis.trade_offs)
    assert analysis.weightings is None or "speed" not in analysis.weightings.parts
    latency = next(s for s in analysis.recommendations if s.title.startswith("For latency"))
    assert "was disturbed by other programs" in latency.text


def test_a_disturbed_method_is_compared_with_nobody_and_the_others_are() -> None:
    analysis = found("int4")
    (speed,) = [s for s in analysis.observations if s.title == "Inference speed"]
    assert "int4" not in speed.text and speed.choice == "fp16"
    assert [entry.label for entry in analysis.diagnoses] == ["fp16", "int8"]


def test_a_limit_on_speed_is_not_met_by_a_disturbed_figure() -> None:
    records = [busy(r) for r in reference_records()]
    choice = choose(read_results(records, "fp16"), Requirements(min_speed=10.0))
    assert choice.label is None


def test_what_disturbed_each_method_folds_behind_and_the_head_is_short() -> None:
    analysis = found("fp16", "int8", "int4")
    sections = {section.key: section for section in sections_of(analysis)}
    assert sections["interference"].detail and "issues" not in sections
    assert "had no core for 48 %" in render_markdown("", [sections["interference"]])
    assert "every method" in str(analysis.alert) and len(str(analysis.alert)) < 200


@pytest.mark.parametrize("disturbed", [("fp16",), ("int8",), ("int4",), ("int8", "int4")])
def test_no_recommendation_by_speed_names_a_disturbed_method(disturbed: tuple[str, ...]) -> None:
    by_speed = ("For latency-sensitive applications", "Best overall balance")
    choices = [s.choice for s in found(*disturbed).recommendations if s.title in by_speed]
    assert len(choices) == 2 and not set(choices) & set(disturbed)
