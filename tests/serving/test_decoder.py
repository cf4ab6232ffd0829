"""A decoder over a server answers as others do, and each fault ends in one sentence."""

from collections.abc import Sequence
from typing import Any

import pytest

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.errors import RefusedError, ServerError
from quantbench.serving.answers import Answer
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.dialects import LLAMA_CPP, VLLM, OpenAi, Piece
from quantbench.serving.http import Server
from tests.decoders import byte_level
from tests.serving.fake_server import END, VOCABULARY, continued, fake_server

DIALECTS: dict[str, Any] = {"llamacpp": LLAMA_CPP, "vllm": VLLM, "other": OpenAi()}
FORCED = Request(prompt_ids=(3, 4), max_new_tokens=6)


def decoder(url: str, kind: str = "llamacpp", *, ids: bool = True, **server: Any) -> ServedDecoder:
    model = ServedModel(name="tiny", vocab_size=VOCABULARY, max_positions=100, slots=4, takes_ids=ids)
    return ServedDecoder(Server(url, **server), DIALECTS[kind], model, device="cpu", tokenizer=byte_level())


def answered(url: str, kind: str, requests: Sequence[Request], **more: Any) -> list[Generation]:
    return decoder(url, kind).generate(requests, batch_size=4, **more)


@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
def test_a_forced_answer_has_the_servers_own_tokens(kind: str) -> None:
    with fake_server(kind=kind) as (url, _):
        (answer,) = answered(url, kind, [FORCED])
    assert answer == Generation(token_ids=tuple(continued((3, 4), 6)), finish_reason=FinishReason.LENGTH)


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_forced_answer_is_asked_to_ignore_its_end(kind: str) -> None:
    with fake_server(kind=kind) as (url, be):
        answered(url, kind, [FORCED])
    assert be.asked[-1]["ignore_eos"] is True


@pytest.mark.parametrize("kind", ["llamacpp", "vllm"])
def test_an_answer_ends_at_its_end_token_as_in_process(kind: str) -> None:
    prompt = next((a, b) for a in range(64) for b in range(64) if END in continued((a, b), 6)[1:])
    free = Request(prompt_ids=prompt, max_new_tokens=20, eos_ids=frozenset((END,)))
    with fake_server(kind=kind) as (url, _):
        (answer,) = answered(url, kind, [free])
    expected = continued(prompt, 20)
    assert answer.finish_reason is FinishReason.EOS
    assert answer.token_ids == tuple(expected[: expected.index(END)])


def test_a_stop_check_ends_a_row_and_drops_the_connection() -> None:
    def stop(ids: Sequence[int], new: int) -> bool:
        return len(ids) >= 8

    with fake_server() as (url, _):
        stopped = Request(prompt_ids=(3, 4), max_new_tokens=64, should_stop=stop)
        (answer,) = answered(url, "llamacpp", [stopped])
    assert (answer.finish_reason, len(answer.token_ids)) == (FinishReason.STOP, 8)


def test_more_requests_than_slots_are_answered_in_their_order() -> None:
    requests = [Request(prompt_ids=(start,), max_new_tokens=5) for start in range(1, 12)]
    with fake_server() as (url, _):
        answers = answered(url, "llamacpp", requests)
    assert [a.token_ids for a in answers] == [tuple(continued(r.prompt_ids, 5)) for r in requests]


def test_the_first_token_of_every_row_of_a_batch_is_told_once() -> None:
    told: list[int] = []
    with fake_server() as (url, _):
        rows = [Request(prompt_ids=(start,), max_new_tokens=5) for start in range(1, 9)]
        answered(url, "llamacpp", rows, on_first_token=lambda: told.append(1))
    assert told == [1]


def test_text_alone_is_sent_where_a_server_takes_no_ids() -> None:
    with fake_server(kind="other", takes_ids=False) as (url, be):
        decoder(url, "other", ids=False).generate([FORCED], batch_size=1)
    assert isinstance(be.asked[-1]["prompt"], str)


def test_a_servers_own_timings_are_those_of_its_slowest_row() -> None:
    with fake_server() as (url, _):
        found = decoder(url)
        found.start_timing()
        found.generate([FORCED, FORCED], batch_size=2)
        assert found.own_timings() == (0.01, 0.02)


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "it closes the connection": ({"closes_after": 2}, "closed the connection in the middle"),
    "its stream ends early": ({"ends_after": 2}, "ended after 2 tokens without an end"),
    "it sends no JSON": ({"garbage": True}, "no JSON object"),
    "it breaks off with an error": ({"error_event": True}, "broke an answer off: out of cache"),
    "it needs a key": ({"key": "secret"}, "needs a key: set QUANTBENCH_API_KEY"),
    "it forces no lengths": ({"short": 3}, "ended an answer after 3 of 6 tokens"),
    "it is always busy": ({"busy": 100}, "has no room for more requests"),
}


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_sentence(fault: str, kind: str) -> None:
    behaviour, sentence = FAULTS[fault]
    with fake_server(kind=kind, **behaviour) as (url, _), pytest.raises(ServerError, match=sentence) as error:
        decoder(url, kind, sleep=lambda s: None).generate([FORCED, FORCED], batch_size=2)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_silence_ends_at_the_time_limit() -> None:
    with fake_server(silent=True) as (url, _), pytest.raises(ServerError, match=r"said nothing for 0\.1 s"):
        decoder(url, timeout_s=0.1).generate([FORCED], batch_size=1)


def test_no_server_is_one_sentence() -> None:
    with pytest.raises(ServerError, match="no server answers at"):
        decoder("http://127.0.0.1:9").generate([FORCED], batch_size=1)


def test_the_key_is_sent_and_a_wrong_one_is_not_repeated() -> None:
    with fake_server(key="right") as (url, be):
        decoder(url, key="right").generate([FORCED], batch_size=1)
        assert be.keys[-1] == "Bearer right"
        with pytest.raises(ServerError, match="refuses the key") as error:
            decoder(url, key="wrong-key").generate([FORCED], batch_size=1)
    assert "wrong-key" not in str(error.value)


def test_a_busy_server_is_waited_for_as_long_as_it_says() -> None:
    waited: list[float] = []
    with fake_server(busy=2, retry_after="7") as (url, _):
        (answer,) = decoder(url, sleep=waited.append).generate([FORCED], batch_size=1)
    assert (waited, len(answer.token_ids)) == ([7.0, 7.0], 6)


def test_a_timed_request_is_not_repeated_since_waiting_is_no_time_of_a_token() -> None:
    with fake_server(busy=1) as (url, _), pytest.raises(RefusedError, match="no room"):
        decoder(url).generate([FORCED], batch_size=1, on_first_token=lambda: None)


def test_what_ended_a_server_of_our_own_is_told_in_place_of_a_broken_connection() -> None:
    with fake_server(closes_after=1) as (url, _), pytest.raises(ServerError, match="the server ended: why"):
        decoder(url, died=lambda: "the server ended: why").generate([FORCED], batch_size=1)


def test_tokens_that_end_inside_a_character_are_read_from_the_text() -> None:
    request = Request(prompt_ids=(3,), max_new_tokens=5, eos_ids=frozenset((END,)))
    answer = Answer(0, request, byte_level())
    answer.take(Piece(token_ids=(65,), text="d", tokens=1))
    answer.take(Piece(token_ids=(99,), text="ef", tokens=3))
    answer.take(Piece(token_ids=(), finish="length", tokens=5))
    assert answer.generation.token_ids == tuple(byte_level().encode("def").ids)


def test_an_answer_without_a_single_token_of_its_own_has_no_times() -> None:
    answer = Answer(0, FORCED)
    answer.take(Piece(token_ids=(), finish="length", tokens=6))
    with pytest.raises(RefusedError, match="its times are not known"):
        answer.check_forced()
