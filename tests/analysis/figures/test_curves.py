"""Throughput against latency: percentiles over requests, and nothing where no server was under two loads."""

from typing import Any

import pytest

from quantbench.analysis import Load, LoadCurve, analyse
from quantbench.records import ArrivalPoint, Record, Served, SpeedPoint
from tests.builders import make_record, make_trial

SERVER = Served(url="http://127.0.0.1:1", name="m", started=True)


def point(batch: int, ttft_s: float, decode_s: float, **more: Any) -> SpeedPoint:
    """Two repetitions of 11 new tokens."""
    times = {"ttft_s": (ttft_s,) * 2, "decode_s": (decode_s,) * 2}
    return SpeedPoint(batch_size=batch, prompt_tokens=8, new_tokens=11, **times, **more)


def arrivals(rate: float) -> ArrivalPoint:
    times = tuple(0.1 * (number + 1) for number in range(5))
    return ArrivalPoint(
        rate=rate, prompt_tokens=8, new_tokens=11, duration_s=2.5, ttft_s=times, decode_s=times
    )


def record(engine: str, *points: SpeedPoint, served: bool = False, **more: Any) -> Record:
    trial = make_trial(
        method="fp16",
        engine=engine,
        row=f"fp16 @ {engine}",
        prompt_tokens=(8,),
        new_tokens=11,
        batch_sizes=tuple(p.batch_size for p in points) or (1,),
    )
    changes = {"speed": points, "served": SERVER if served else None, **more}
    return make_record(trial).model_copy(update=changes)


def curves(*records: Record) -> tuple[LoadCurve, ...]:
    return analyse(list(records), records[0].method).curves


def test_a_sweep_of_concurrency_has_a_line_for_every_row() -> None:
    sweep = (point(1, 0.1, 1.0), point(4, 0.3, 1.7))
    found = curves(record("native", *sweep), record("vllm", *sweep, served=True))
    assert [(curve.label, curve.kind, [p.load for p in curve.points]) for curve in found] == [
        ("fp16 @ native", Load.CONCURRENCY, [1.0, 4.0]),
        ("fp16 @ vllm", Load.CONCURRENCY, [1.0, 4.0]),
    ]
    assert found[0].points[1].tokens_per_s == pytest.approx(4 * 11 / 2.0)


def test_percentiles_are_over_the_requests_of_all_repetitions() -> None:
    single = {
        "request_ttft_s": ((0.1, 0.2), (0.3, 0.4)),
        "request_decode_s": ((1.0, 1.0), (1.0, 2.0)),
    }
    sweep = (point(1, 0.1, 1.0), point(2, 0.4, 2.0, **single))
    ((curve),) = curves(record("vllm", *sweep, served=True))
    last = curve.points[-1]
    assert last.requests == 4
    assert last.ttft_s == pytest.approx((0.25, 0.397))
    assert last.tpot_s == pytest.approx((0.1, 0.197))


def test_a_load_test_has_the_throughput_of_its_whole_time() -> None:
    found = curves(record("vllm", served=True, arrivals=(arrivals(2.0), arrivals(1.0))))
    ((curve),) = found
    assert (curve.kind, [p.load for p in curve.points]) == (Load.RATE, [1.0, 2.0])
    assert curve.points[0].tokens_per_s == pytest.approx(5 * 11 / 2.5)
    assert curve.points[0].tpot_s[0] == pytest.approx(0.03)


@pytest.mark.parametrize("served", [True, False])
def test_one_load_is_no_curve_and_a_sweep_without_a_server_is_none(served: bool) -> None:
    sweep = (point(1, 0.1, 1.0),) if served else (point(1, 0.1, 1.0), point(4, 0.3, 1.7))
    assert curves(record("vllm", *sweep, served=served)) == ()


def test_a_rate_that_was_disturbed_is_no_point_of_a_curve() -> None:
    rates = (arrivals(1.0), arrivals(2.0), arrivals(3.0).model_copy(update={"steal_share": 0.5}))
    (curve,) = curves(record("vllm", served=True, arrivals=rates))
    assert [p.load for p in curve.points] == [1.0, 2.0]
