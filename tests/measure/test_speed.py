from typing import Any

import pytest
import torch

from quantbench.measure.speed import (
    LEAST_REPETITIONS,
    METERED_EACH_S,
    MOST_FOR_ENERGY,
    MOST_REPETITIONS,
    PLENTY,
    Meters,
    forced_requests,
    is_out_of_memory,
    sweep,
    warm_up,
)
from quantbench.records import METERED_S, SpeedPoint
from tests.builders import make_trial
from tests.measure.fakes import FakeClock, FakeDecoder


def quiet(stage: str, done: int, total: int) -> None:
    pass


def measure(clock: FakeClock, decoder: FakeDecoder, **settings: Any) -> list[SpeedPoint]:
    trial = make_trial(**({"new_tokens": 11, "prompt_tokens": (4,), "speed_budget_s": 30.0} | settings))
    meters = Meters(wall=clock, cpu=lambda: 0.5 * clock.now, threads=2)
    return list(sweep(decoder, trial, quiet, meters))


def test_time_to_first_token_and_decode_time_are_split_at_the_first_token() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock, prefill_s=0.25, step_s=(0.01,)))
    assert point.ttft_s == pytest.approx([0.25] * len(point.decode_s))
    assert point.decode_s == pytest.approx([0.1] * len(point.decode_s))


def test_repeating_stops_when_the_median_is_precise() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock))
    assert len(point.decode_s) == 6  # the fewest for a 95 % interval of a median


def test_repeating_goes_on_while_times_scatter_until_the_budget_is_over() -> None:
    clock = FakeClock()
    scattered = [0.1 * (1 + index % 5) for index in range(500)]
    (point,) = measure(clock, FakeDecoder(clock, step_s=scattered), speed_budget_s=40.0)
    assert 40 <= sum(point.ttft_s) + sum(point.decode_s) < 46
    assert len(point.decode_s) > 6


def test_a_slow_model_is_still_measured_twice() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock, prefill_s=100.0))
    assert len(point.decode_s) == LEAST_REPETITIONS == 2


def test_repetitions_are_bounded() -> None:
    clock = FakeClock()
    scattered = [0.1 * (1 + index % 5) for index in range(500)]
    (point,) = measure(clock, FakeDecoder(clock, step_s=scattered), speed_budget_s=1e6)
    assert len(point.decode_s) == MOST_REPETITIONS


def test_short_repetitions_end_when_only_another_process_could_tell_more() -> None:
    clock = FakeClock()
    scattered = [0.01 * (1 + index % 5) for index in range(500)]
    (point,) = measure(clock, FakeDecoder(clock, step_s=scattered), speed_budget_s=1e6)
    assert len(point.decode_s) == PLENTY


def test_the_first_run_is_no_repetition() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock, step_s=(5.0, 0.01)))
    assert max(point.decode_s) == pytest.approx(0.1)


def test_the_first_runs_seconds_are_kept_apart() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock, prefill_s=0.5, step_s=(0.7, 0.01)))
    assert point.warm_s == pytest.approx(0.5 + 7 * 0.7)  # shortened on the CPU: 8 new tokens


def test_lengths_are_forced() -> None:
    clock = FakeClock()
    decoder = FakeDecoder(clock)
    measure(clock, decoder, batch_sizes=(3,), prompt_tokens=(7,))
    for request in decoder.runs[-1]:
        assert (len(request.prompt_ids), request.max_new_tokens) == (7, 11)
        assert request.eos_ids == frozenset()
        assert request.should_stop is None


def test_the_sweep_is_every_batch_size_at_every_prompt_length() -> None:
    clock = FakeClock()
    points = measure(clock, FakeDecoder(clock), batch_sizes=(1, 4), prompt_tokens=(8, 16))
    assert [(p.batch_size, p.prompt_tokens) for p in points] == [(1, 8), (4, 8), (1, 16), (4, 16)]


def test_points_share_the_budget() -> None:
    clock = FakeClock()
    scattered = [0.01 * (1 + index % 5) for index in range(500)]
    points = measure(clock, FakeDecoder(clock, step_s=scattered), batch_sizes=(1, 2), speed_budget_s=40.0)
    lengths = [sum(p.ttft_s) + sum(p.decode_s) for p in points]
    assert lengths == [pytest.approx(10, abs=1), pytest.approx(10, abs=1.5)]


def test_the_share_of_cpu_time_is_over_all_threads() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock))
    assert point.cpu_share == pytest.approx([0.25] * len(point.decode_s))


def test_bytes_of_a_step_are_those_at_the_middle_of_the_decode() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock), batch_sizes=(2,), prompt_tokens=(100,), new_tokens=40)
    assert (point.step_weight_bytes, point.kv_bytes) == (1000, 2 * 120)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_a_point_that_runs_out_of_memory_does_not_end_the_others(error: Exception) -> None:
    clock = FakeClock()
    decoder = FakeDecoder(clock, fails_at=4, error=error)
    points = measure(clock, decoder, batch_sizes=(1, 4, 2))
    assert [point.failure is None for point in points] == [True, False, True]
    assert str(points[1].failure).startswith("out of memory")
    assert points[1].decode_s == ()


def test_another_error_is_not_swallowed() -> None:
    clock = FakeClock()
    decoder = FakeDecoder(clock, fails_at=1, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        measure(clock, decoder)


def test_a_point_beyond_the_models_positions_says_so_without_running() -> None:
    clock = FakeClock()
    decoder = FakeDecoder(clock)
    (point,) = measure(clock, decoder, prompt_tokens=(995,))
    assert point.failure == "1006 positions are needed, but the model has 1000"
    assert decoder.runs == []


def test_joules_are_kept_where_there_is_a_counter() -> None:
    clock = FakeClock()
    meters = Meters(wall=clock, cpu=clock, joules=lambda: 300 * clock.now)
    trial = make_trial(new_tokens=11, prompt_tokens=(4,), speed_budget_s=5.0)
    (point,) = sweep(FakeDecoder(clock, prefill_s=0.4), trial, quiet, meters)
    assert point.joules == pytest.approx([300 * 0.5] * len(point.decode_s))


def metered(decoder: FakeDecoder, clock: FakeClock, **settings: Any) -> list[SpeedPoint]:
    """A sweep on a device that draws 300 W and has a counter."""
    meters = Meters(wall=clock, cpu=clock, joules=lambda: 300 * clock.now)
    trial = make_trial(**({"new_tokens": 11, "prompt_tokens": (4,), "speed_budget_s": 50.0} | settings))
    return list(sweep(decoder, trial, quiet, meters))


def spent(point: SpeedPoint) -> float:
    return sum(point.ttft_s) + sum(point.decode_s)


def test_a_counter_is_given_the_seconds_that_it_needs_over_the_passes_of_a_round() -> None:
    clock = FakeClock()
    points = [
        point
        for number, role in enumerate(("method", "round"))
        for point in metered(FakeDecoder(clock, prefill_s=0.01), clock, role=role, round=number)
    ]
    assert sum(map(spent, points)) >= METERED_S
    assert max(map(spent, points)) == pytest.approx(METERED_EACH_S, abs=0.2)


def test_the_headline_of_a_sweep_is_given_them_too_and_no_other_point() -> None:
    clock = FakeClock()
    decoder = FakeDecoder(clock, prefill_s=0.01)
    headline, *others = metered(decoder, clock, batch_sizes=(1, 2, 4), speed_budget_s=1.0)
    assert spent(headline) >= METERED_EACH_S
    assert max(map(spent, others)) < METERED_EACH_S


def test_energy_that_no_report_shows_is_given_no_time() -> None:
    clock = FakeClock()
    (point,) = metered(FakeDecoder(clock, prefill_s=0.01), clock, role="floor")
    assert len(point.decode_s) == 6


def test_runs_too_short_to_be_metered_are_not_repeated_for_it() -> None:
    clock = FakeClock()
    short = 0.9 * METERED_EACH_S / MOST_FOR_ENERGY
    (point,) = metered(FakeDecoder(clock, prefill_s=0.1 * short, step_s=(0.09 * short,)), clock)
    assert len(point.decode_s) == 6


def test_without_a_counter_there_are_no_joules() -> None:
    clock = FakeClock()
    (point,) = measure(clock, FakeDecoder(clock))
    assert point.joules == ()


def test_prompts_are_the_same_for_the_same_seed_and_differ_between_rows() -> None:
    decoder = FakeDecoder(FakeClock())
    first, second = (forced_requests(decoder, 2, 30, 5, seed=1) for _ in range(2))
    assert first == second
    assert first[0].prompt_ids != first[1].prompt_ids
    assert forced_requests(decoder, 2, 30, 5, seed=2) != first


def test_prompts_are_tokens_of_the_vocabulary() -> None:
    (request,) = forced_requests(FakeDecoder(FakeClock()), 1, 500, 5, seed=0)
    assert set(request.prompt_ids) == set(range(50))


def test_progress_names_the_point_and_counts_repetitions() -> None:
    clock, told = FakeClock(), []
    trial = make_trial(new_tokens=11, prompt_tokens=(4,), speed_budget_s=5.0)
    list(sweep(FakeDecoder(clock), trial, lambda *news: told.append(news), Meters(wall=clock, cpu=clock)))
    assert told[0] == ("speed: batch 1, 4 prompt tokens", 0, 0)
    assert [done for _, done, _ in told] == list(range(7))


def test_warming_up_is_timed() -> None:
    clock = FakeClock()
    assert warm_up(FakeDecoder(clock, prefill_s=2.0, step_s=(0.5,)), clock) == pytest.approx(2.5)


def test_an_ordinary_error_is_not_out_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
