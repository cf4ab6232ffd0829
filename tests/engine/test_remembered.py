"""Prompts that a decoder remembers: answers and scores are the same bits, and memory is kept to."""

from collections.abc import Callable

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine import passes
from quantbench.engine.decoder import NativeDecoder
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import prompts
from tests.engine.test_batch_invariance import COMPILED, on_cpu, to_half, to_int4

QUANTIZERS = {"fp16": to_half, "int8": quantize_int8, "int4": to_int4}
PLENTY = 1 << 26
pytestmark = COMPILED
TEXTS = prompts((5, 12, 31, 5))
REQUESTS = [Request(prompt_ids=text[:-2], max_new_tokens=3) for text in TEXTS]
PROMPTS = [len(text) - 2 for text in TEXTS]


def decoder_of(quantizer: str) -> NativeDecoder:
    return on_cpu(QUANTIZERS[quantizer])


def scores(decoder: NativeDecoder, lengths: list[int]) -> torch.Tensor:
    return torch.cat(list(decoder.score(TEXTS, lengths)))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of every pass over prompts that teacher forcing makes."""
    found: list[int] = []
    run: Callable[..., torch.Tensor] = passes.filled

    def counting(model: object, given: list[tuple[int, ...]], *rest: object, **more: object) -> torch.Tensor:
        found.append(sum(map(len, given)))
        return run(model, given, *rest, **more)

    monkeypatch.setattr(passes, "filled", counting)
    return found


@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_scores_of_remembered_prompts_are_the_same_bits(quantizer: str, computed: list[int]) -> None:
    decoder = decoder_of(quantizer)
    expected, answers = scores(decoder, PROMPTS), decoder.generate(REQUESTS, batch_size=2)
    decoder.remember_prompts(PLENTY)
    assert decoder.generate(REQUESTS, batch_size=2) == answers
    computed.clear()
    assert torch.equal(scores(decoder, PROMPTS), expected)
    assert computed == []


def test_a_prompts_beginning_is_remembered_with_it(computed: list[int]) -> None:
    decoder = decoder_of("fp16")
    shorter = [length - 1 for length in PROMPTS]
    expected = scores(decoder, shorter)
    decoder.remember_prompts(PLENTY)
    decoder.generate(REQUESTS, batch_size=4)
    computed.clear()
    assert torch.equal(scores(decoder, shorter), expected)
    assert computed == []


def test_what_has_no_room_is_computed_again(computed: list[int]) -> None:
    decoder = decoder_of("fp16")
    expected = scores(decoder, PROMPTS)
    decoder.remember_prompts(1)
    decoder.generate(REQUESTS, batch_size=4)
    computed.clear()
    assert torch.equal(scores(decoder, PROMPTS), expected)
    assert computed == [sum(PROMPTS)]


def test_prompts_with_other_bits_are_not_taken(computed: list[int]) -> None:
    decoder = decoder_of("fp16")
    decoder.remember_prompts(PLENTY)
    decoder.generate(REQUESTS, batch_size=4)
    computed.clear()
    decoder.exact_prompts = not decoder.exact_prompts
    scores(decoder, PROMPTS)
    assert computed == [sum(PROMPTS)]


def test_nothing_is_remembered_where_sums_may_have_another_order(computed: list[int]) -> None:
    decoder = decoder_of("fp16")
    decoder.batch_invariant = False
    decoder.remember_prompts(PLENTY)
    decoder.generate(REQUESTS, batch_size=4)
    computed.clear()
    scores(decoder, PROMPTS)
    assert computed == [sum(PROMPTS)]
