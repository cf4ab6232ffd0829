"""Which further steps are measured, with a decoder whose steps take what they are said to take."""

from typing import Any

from quantbench.measure.experiments import LONGEST_S, TIMES, measure_experiments
from quantbench.measure.speed import Meters, sweep
from quantbench.records import SpeedPoint
from tests.builders import make_trial
from tests.measure.fakes import FakeClock, FakeDecoder


def quiet(stage: str, done: int, total: int) -> None:
    pass


def experiments(prefill_s: float = 0.1, **settings: Any) -> tuple[SpeedPoint, ...]:
    clock = FakeClock()
    decoder = FakeDecoder(clock, prefill_s=prefill_s)
    trial = make_trial(**({"prompt_tokens": (64,), "new_tokens": 40, "speed_budget_s": 2.0} | settings))
    meters = Meters(wall=clock, cpu=clock)
    headline = next(sweep(decoder, trial, quiet, meters))
    return measure_experiments(decoder, trial, headline, quiet, meters)


def shapes(points: tuple[SpeedPoint, ...]) -> list[tuple[int, int]]:
    return [(point.batch_size, point.prompt_tokens) for point in points]


def test_more_rows_and_a_longer_context_are_measured_apart() -> None:
    found = experiments()
    assert shapes(found) == [(TIMES, 64), (1, TIMES * 64)]
    assert all(len(point.decode_s) >= 2 for point in found)


def test_what_the_sweep_holds_is_not_measured_again() -> None:
    assert shapes(experiments(batch_sizes=(1, 8))) == [(1, 256)]
    assert shapes(experiments(prompt_tokens=(64, 512))) == [(4, 64)]


def test_a_context_that_the_model_does_not_have_is_shortened_or_left_out() -> None:
    assert shapes(experiments(prompt_tokens=(300,))) == [(4, 300), (1, 967)]  # of 1000, less 33 new ones
    assert shapes(experiments(prompt_tokens=(600,))) == [(4, 600)]


def test_what_would_take_too_long_is_left_out() -> None:
    assert experiments(prefill_s=LONGEST_S) == ()
