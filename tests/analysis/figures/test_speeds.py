"""Rates from raw times: the first token is not counted, and no interval is invented."""

import pytest

from quantbench.analysis.figures.speeds import read_speed
from quantbench.records import Bandwidth, SpeedPoint


def point(**changes: object) -> SpeedPoint:
    facts = {
        "batch_size": 2,
        "prompt_tokens": 100,
        "new_tokens": 11,
        "ttft_s": (0.1, 0.3, 0.2),
        "decode_s": (1.0, 4.0, 2.0),
    }
    return SpeedPoint(**(facts | changes))


def test_the_decode_rate_counts_steps_of_the_whole_batch_without_the_first_token() -> None:
    speed = read_speed(point())
    assert speed.decode is not None
    assert speed.decode.value == pytest.approx(2 * 10 / 2.0)


def test_time_per_output_token_leaves_the_first_token_out() -> None:
    speed = read_speed(point())
    assert speed.tpot_s is not None
    assert speed.tpot_s.value == pytest.approx(0.2)


def test_the_prefill_rate_is_prompt_tokens_over_time_to_first_token() -> None:
    speed = read_speed(point())
    assert speed.prefill is not None
    assert speed.prefill.value == pytest.approx(2 * 100 / 0.2)


def test_the_response_time_adds_the_times_of_the_same_repetition() -> None:
    speed = read_speed(point(ttft_s=(0.1, 5.0, 0.2), decode_s=(1.0, 4.0, 2.0)))
    assert speed.response_s is not None
    assert speed.response_s.value == pytest.approx(2.2)


def test_three_repetitions_give_their_range_and_say_so() -> None:
    decode = read_speed(point()).decode
    assert decode is not None
    assert decode.interval is not None
    assert decode.ranged
    assert (decode.interval.low, decode.interval.high) == pytest.approx((5.0, 20.0))


def test_eight_repetitions_give_an_interval() -> None:
    decode = read_speed(point(ttft_s=(0.1,) * 8, decode_s=(1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7))).decode
    assert decode is not None
    assert not decode.ranged


def test_one_repetition_has_no_interval() -> None:
    decode = read_speed(point(decode_s=(1.0,), ttft_s=(0.1,))).decode
    assert decode is not None
    assert decode.interval is None


def test_a_single_new_token_has_no_decode_rate() -> None:
    speed = read_speed(point(new_tokens=1, decode_s=(0.0,), ttft_s=(0.1,)))
    assert speed.decode is None
    assert speed.ttft_s is not None


def test_a_failed_point_keeps_its_reason_and_has_no_figures() -> None:
    speed = read_speed(point(decode_s=(), ttft_s=(), failure="out of memory"))
    assert speed.failure == "out of memory"
    assert speed.decode is None


def test_the_bandwidth_share_counts_weights_and_cache_of_one_step() -> None:
    bandwidth = Bandwidth(read_bytes_per_s=1000.0, method="test")
    speed = read_speed(point(step_weight_bytes=50, kv_bytes=10), bandwidth)
    assert speed.mbu == pytest.approx(60 / 0.2 / 1000)


def test_the_bandwidth_share_is_missing_when_the_bytes_of_a_step_are() -> None:
    bandwidth = Bandwidth(read_bytes_per_s=1000.0, method="test")
    assert read_speed(point(), bandwidth).mbu is None
