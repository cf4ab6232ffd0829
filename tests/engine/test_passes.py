"""Teacher forcing takes the arithmetic that answers: bit for bit by the CPU's kernels, else closely."""

import pytest
import torch
from torch import Tensor

from quantbench.decoding import Phase, Request, scheme_by_phase
from quantbench.engine.cpu import build
from quantbench.engine.decoder import NativeDecoder
from quantbench.engine.linear import Linear
from quantbench.engine.model import Model
from quantbench.engine.parameters import Matrix
from quantbench.engine.plain.linear import PlainLinear
from quantbench.engine.plain.operations import PlainOperations
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.models import keep_float, native, prompts, reference_model

NEEDS_KERNELS = pytest.mark.skipif(build.load_kernels().kernels is None, reason="no CPU kernels")
LENGTHS = (5, 23, 1, 40)


def answered(decoder: NativeDecoder, prompt: tuple[int, ...], count: int) -> tuple[tuple[int, ...], Tensor]:
    """A prompt with its greedy answer of `count` tokens, and the logits [count, vocab_size] that chose it."""
    seen, logits = [], decoder._model.logits

    def watched(hidden: Tensor) -> Tensor:
        seen.append(logits(hidden))
        return seen[-1]

    request, stack = Request(prompt_ids=prompt, max_new_tokens=count), decoder._model.stack
    decoder._model.logits = watched  # type: ignore[method-assign]
    decoder._model.stack = None  # several steps in one call show no logits
    (answer,) = decoder.generate([request], batch_size=1)
    decoder._model.logits, decoder._model.stack = logits, stack  # type: ignore[method-assign]
    assert decoder.generate([request], batch_size=1) == [answer]
    return (*prompt, *answer.token_ids), torch.cat(seen)


def forced(decoder: NativeDecoder, asked: list[tuple[int, ...]], count: int) -> list[tuple[Tensor, Tensor]]:
    """Of every prompt the logits that chose its answer, and those of scoring all texts in one go."""
    texts, chosen = zip(*(answered(decoder, prompt, count) for prompt in asked), strict=True)
    scores = decoder.score(texts, [len(prompt) for prompt in asked])
    return [
        (own, found[len(prompt) - 1 : -1]) for own, found, prompt in zip(chosen, scores, asked, strict=True)
    ]


@NEEDS_KERNELS
@pytest.mark.parametrize("variant", ["qwen2-tied", "qwen3", "mistral-window"])
@pytest.mark.parametrize("method", ["fp16", "int8", "int4"])
def test_scored_answers_have_the_logits_that_chose_them_bit_for_bit(variant: str, method: str) -> None:
    quantize = {
        "fp16": lambda name, tensor: keep_float(name, tensor.half()),
        "int8": quantize_int8,
        "int4": lambda name, tensor: quantize_int4(name, tensor, group_size=32),
    }[method]
    decoder = native(reference_model(variant, head_dim=32, intermediate_size=64), quantize)
    assert isinstance(decoder, NativeDecoder)
    for chosen, found in forced(decoder, prompts(LENGTHS), 12):
        assert torch.equal(chosen, found)


@pytest.mark.parametrize("variant", ["qwen2", "qwen3", "mistral-window", "qwen2-window"])
def test_in_plain_torch_they_are_close(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    off = build.Built(None, "off")
    monkeypatch.setattr("quantbench.engine.cpu.operations.load_kernels", lambda: off)
    decoder = native(reference_model(variant))
    assert isinstance(decoder, NativeDecoder)
    for chosen, found in forced(decoder, prompts(LENGTHS), 12):
        torch.testing.assert_close(chosen, found, rtol=1e-4, atol=1e-4)


class CoarsePrompts(PlainLinear):
    """Prompts are multiplied with activations of a tenth's precision."""

    prompt_bits = 8

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        return super().__call__((x * 10).round() / 10 if prompt else x, residual)


class CoarseOperations(PlainOperations):
    def linear(self, matrix: Matrix) -> Linear:
        return CoarsePrompts(matrix)


def coarse(*, exact_prompts: bool) -> NativeDecoder:
    decoder = native(reference_model("qwen2"))
    assert isinstance(decoder, NativeDecoder)
    cpu, operations = torch.device("cpu"), CoarseOperations(decoder.config)
    decoder._model = Model(decoder._parameters, operations, device=cpu, dtype=torch.float32)
    decoder.exact_prompts = exact_prompts
    return decoder


def test_a_prompts_fewer_bits_are_in_what_is_scored_after_it() -> None:
    decoder, (prompt,) = coarse(exact_prompts=False), prompts((23,))
    text, chosen = answered(decoder, prompt, 12)
    (as_answered,) = decoder.score([text], [len(prompt)])
    (as_decoded,) = decoder.score([text])
    torch.testing.assert_close(as_answered[len(prompt) - 1 : -1], chosen, rtol=1e-4, atol=1e-4)
    assert (as_decoded - as_answered)[len(prompt) :].abs().max() > 0.01


def test_exact_prompts_have_all_bits_in_answers_and_in_what_is_scored() -> None:
    exact, (prompt,) = coarse(exact_prompts=True), prompts((23,))
    text, chosen = answered(exact, prompt, 12)
    (as_answered,) = exact.score([text], [len(prompt)])
    (as_decoded,) = exact.score([text])
    torch.testing.assert_close(as_answered, as_decoded, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(as_answered[len(prompt) - 1 : -1], chosen, rtol=1e-4, atol=1e-4)


def test_bits_of_activations_are_told_by_phase() -> None:
    assert coarse(exact_prompts=False).activation_bits() == {Phase.PROMPT: 8, Phase.DECODE: 32}
    assert coarse(exact_prompts=True).activation_bits() == {Phase.PROMPT: 32, Phase.DECODE: 32}


@pytest.mark.parametrize(
    ("weights", "prompt", "decode", "scheme"),
    [
        ("W4", 16, 16, "W4A16"),
        ("WBF16", 32, 32, "WBF16A32"),
        ("W8", 8, 32, "W8A32, prompts W8A8"),
        ("W4", 8, 32, "W4A32, prompts W4A8"),
        ("W16", 13, 32, "W16A32, prompts W13A13"),
    ],
)
def test_schemes_name_the_bits_of_both_phases_where_they_differ(
    weights: str, prompt: int, decode: int, scheme: str
) -> None:
    assert scheme_by_phase(weights, {Phase.PROMPT: prompt, Phase.DECODE: decode}) == scheme
