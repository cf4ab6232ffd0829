"""Requests arrive as a Poisson process, are sent whatever is still answered, and each keeps its own times."""

import threading
import time
from itertools import pairwise
from statistics import mean

import pytest

from quantbench.analysis.figures.arrivals import read_point
from quantbench.measure.arrivals import arrival_times, measure_arrivals
from quantbench.measure.load import LoadReading
from quantbench.measure.speed import Meters
from quantbench.records import ArrivalPoint
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.dialects import LLAMA_CPP
from quantbench.serving.http import Server
from tests.builders import make_record, make_trial
from tests.serving.fake_server import VOCABULARY, fake_server


def decoder(url: str) -> ServedDecoder:
    model = ServedModel(name="tiny", vocab_size=VOCABULARY, max_positions=100, slots=2)
    return ServedDecoder(Server(url), LLAMA_CPP, model, device="cpu")


def test_gaps_have_the_mean_and_the_spread_of_a_poisson_process() -> None:
    times = arrival_times(5.0, 20_000, seed=1)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert mean(gaps) == pytest.approx(0.2, rel=0.03)
    assert mean(gap**2 for gap in gaps) == pytest.approx(2 * 0.2**2, rel=0.06)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert arrival_times(2.0, 50, seed=3) == arrival_times(2.0, 50, seed=3) != arrival_times(2.0, 50, seed=4)


def test_the_last_request_arrives_when_the_rate_says_and_none_at_the_start() -> None:
    times = arrival_times(4.0, 32, seed=5)
    assert times[-1] == pytest.approx(32 / 4.0)
    assert 0 < times[0] == min(times)


def test_arrivals_are_those_of_vllms_benchmark() -> None:
    # numpy.random.seed(0); gamma(shape=1, scale=1/rate) four times, added up and scaled to 4 / rate
    gaps = [0.7958745, 1.25593076, 0.92322315, 0.78720115]
    wanted = [sum(gaps[: number + 1]) * 4 / sum(gaps) / 2.0 for number in range(4)]
    assert arrival_times(2.0, 4, seed=0) == pytest.approx(wanted, rel=1e-6)


def test_every_request_of_every_rate_is_measured() -> None:
    trial = make_trial(request_rates=(200.0, 400.0), requests=6, prompt_tokens=(4,), new_tokens=5)
    with fake_server() as (url, be):
        found = measure_arrivals(decoder(url), trial, lambda *_: None, Meters())
    assert [(point.rate, len(point.ttft_s), point.failed) for point in found] == [
        (200.0, 6, 0),
        (400.0, 6, 0),
    ]
    assert len({tuple(body["prompt"]) for body in be.asked}) == 12


def test_a_request_does_not_wait_for_the_answers_before_it() -> None:
    trial = make_trial(request_rates=(1000.0,), requests=8, prompt_tokens=(4,), new_tokens=5)
    start = time.perf_counter()
    with fake_server(silent=True) as (url, be):
        threading.Timer(0.3, be.wake.set).start()
        (found,) = measure_arrivals(decoder(url), trial, lambda *_: None, Meters())
    assert time.perf_counter() - start < 5
    assert (len(found.ttft_s), found.failed) == (8, 0)


def test_a_request_that_is_refused_counts_as_failed_with_its_reason() -> None:
    trial = make_trial(request_rates=(500.0,), requests=5, prompt_tokens=(4,), new_tokens=5)
    with fake_server(busy=2) as (url, _):
        (found,) = measure_arrivals(decoder(url), trial, lambda *_: None, Meters())
    assert (len(found.ttft_s), found.failed) == (3, 2)
    assert "no room" in (found.failure or "")


def test_what_other_programs_took_meanwhile_is_kept() -> None:
    trial = make_trial(request_rates=(500.0,), requests=3, prompt_tokens=(4,), new_tokens=5)
    readings = iter(
        LoadReading(queued=None, stolen=stolen, busy=busy, own=own)
        for stolen, busy, own in ((0.0, 10.0, 1.0), (0.0, 1010.0, 2.0))
    )
    with fake_server() as (url, _):
        (found,) = measure_arrivals(
            decoder(url), trial, lambda *_: None, Meters(load=lambda: next(readings), threads=2)
        )
    assert found.foreign_cores == pytest.approx(999.0 / found.duration_s)
    assert found.steal_share == 0.0


POINT = ArrivalPoint(
    rate=2.0,
    prompt_tokens=4,
    new_tokens=11,
    duration_s=2.0,
    ttft_s=(0.1, 0.2, 0.3, 0.4),
    decode_s=(0.1, 0.1, 0.2, 0.1),
    failed=1,
)


def test_goodput_counts_requests_that_keep_both_limits_a_second() -> None:
    record = make_record(make_trial(goodput_ttft_s=0.35, goodput_tpot_s=0.015, request_rates=(2.0,)))
    found = read_point(record, POINT)
    assert found.goodput == 1.0
    assert (found.answered, found.requests, found.output_tokens_per_s) == (2.0, 5, 22.0)


def test_without_a_limit_there_is_no_goodput() -> None:
    assert read_point(make_record(make_trial()), POINT).goodput is None


def test_the_time_of_a_token_leaves_the_first_one_out() -> None:
    assert read_point(make_record(make_trial()), POINT).tpot_s[0] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ({"foreign_cores": 1.5}, "other programs kept 1.5 cores busy"),
        ({"steal_share": 0.2}, "the hypervisor took 20 % of the cores' time"),
        ({"late_s": 0.3}, "a request was sent 300 ms after its time"),
        ({"foreign_cores": 0.05, "steal_share": 0.01, "late_s": 0.01}, None),
        ({}, None),
    ],
)
def test_a_rate_is_disturbed_where_a_counter_says_so(counted: dict[str, float], said: str | None) -> None:
    record = make_record(make_trial(request_rates=(2.0,)))
    busy = record.environment.model_copy(update={"threads": 2, "cores": 2})
    found = read_point(
        record.model_copy(update={"environment": busy}), POINT.model_copy(update=dict(counted))
    )
    assert found.disturbed == said
