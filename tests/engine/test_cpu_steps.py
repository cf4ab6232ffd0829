"""Several steps of greedy rows in one call of the CPU kernels, against steps one by one."""

import random
from dataclasses import replace

import pytest
import torch

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.decoding.sequence import STOP_INTERVAL, BatchRow
from quantbench.engine.cpu import build
from quantbench.engine.cpu.layers import CpuLayers
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import native, prompts, reference_model
from tests.engine.test_cpu_layers import WIDE, decoder_of, to_half

pytestmark = pytest.mark.skipif(
    build.load_kernels().kernels is None, reason=f"no CPU kernels: {build.load_kernels().reason}"
)


class Watch:
    """Notes what it is shown; ends an answer at its n-th look."""

    def __init__(self, looks: int) -> None:
        self.seen: list[tuple[int, ...]] = []
        self._looks = looks

    def __call__(self, ids: list[int], new: int) -> bool:
        self.seen.append((*ids, -new))
        return len(self.seen) >= self._looks


def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CpuLayers, "steps", lambda *_: None)


@pytest.mark.parametrize("quantize", [to_half, quantize_int8])
@pytest.mark.parametrize("variant", ["qwen2-tied", "qwen3-bias", "mistral-window", "llama3-rope"])
def test_answers_and_looks_are_those_of_steps_one_by_one(
    variant: str, quantize: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = decoder_of(variant, quantize)
    texts = prompts((9, 40, 1, 17, 5))

    def run(ends: frozenset[int]) -> tuple[list[Generation], list[object]]:
        watches = [Watch(looks) for looks in (2, 9, 1)]
        requests = [Request(prompt_ids=text, max_new_tokens=30, eos_ids=ends) for text in texts]
        requests[:3] = [
            replace(request, should_stop=watch) for request, watch in zip(requests, watches, strict=False)
        ]
        return decoder.generate(requests, batch_size=3), [watch.seen for watch in watches]

    found = run(frozenset())
    ends = frozenset({found[0][1].token_ids[11], found[0][4].token_ids[20]})
    ended = run(ends)
    assert {answer.finish_reason for answer in ended[0]} >= {FinishReason.EOS, FinishReason.STOP}
    one_by_one(monkeypatch)
    assert run(frozenset()) == found
    assert run(ends) == ended


def test_a_call_takes_as_many_steps_as_nothing_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, asked, steps = decoder_of("qwen2-tied"), [], CpuLayers.steps
    monkeypatch.setattr(CpuLayers, "steps", lambda *given: asked.append(given[-1]) or steps(*given))
    decoder.generate([Request(prompt_ids=(1, 2), max_new_tokens=2 * STOP_INTERVAL + 4)], batch_size=1)
    assert asked == [STOP_INTERVAL, STOP_INTERVAL, 3]


def test_of_equal_logits_the_first_token_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = reference_model("qwen2-tied", **WIDE)
    with torch.no_grad():
        model.model.embed_tokens.weight[49:] = model.model.embed_tokens.weight[:48].clone()
    decoder = native(model, to_half)
    requests = [Request(prompt_ids=text, max_new_tokens=12) for text in prompts((3, 8, 20))]
    found = decoder.generate(requests, batch_size=2)
    assert all(token < 49 for answer in found for token in answer.token_ids)
    one_by_one(monkeypatch)
    assert decoder.generate(requests, batch_size=2) == found


def test_drawn_rows_beside_greedy_ones_go_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_of("qwen2-tied")
    requests = [
        Request(prompt_ids=text, max_new_tokens=12, temperature=heat, seed=3)
        for text, heat in zip(prompts((3, 8, 20)), (0.0, 0.9, 0.0), strict=True)
    ]
    found = decoder.generate(requests, batch_size=2)
    one_by_one(monkeypatch)
    assert decoder.generate(requests, batch_size=2) == found


def test_unwatched_tokens_end_a_row_at_the_last_of_them_at_most() -> None:
    draw = random.Random(0)
    for _ in range(300):
        watch = Watch(draw.randrange(1, 4)) if draw.random() < 0.7 else None
        request = Request(prompt_ids=(1,), max_new_tokens=draw.randrange(1, 40), should_stop=watch)
        row, ended = BatchRow(0, request), None
        while ended is None:
            unwatched = row.unwatched
            assert 1 <= unwatched <= STOP_INTERVAL
            for last in (number == unwatched - 1 for number in range(draw.randrange(1, unwatched + 1))):
                ended = row.take(5)
                assert ended is None or last
