"""The decoder's promises: rows do not depend on neighbours, leave when they end, stop where they should."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.decoding.sequence import STOP_INTERVAL
from quantbench.engine.load import load_decoder
from quantbench.errors import NotFiniteError, UsageError
from tests.engine.models import (
    keep_float,
    native,
    prompts,
    read,
    reference_greedy,
    reference_model,
    source_of,
)


@pytest.fixture(scope="module")
def model() -> object:
    return reference_model("qwen2-tied")


@pytest.fixture(scope="module")
def decoder(model: object) -> Decoder:
    return native(model)


def tokens(found: list[Generation]) -> list[tuple[int, ...]]:
    return [generation.token_ids for generation in found]


LENGTHS = (5, 1, 12, 30, 7, 2, 9)


@pytest.mark.parametrize("batch_size", [2, 3, 7, 50])
def test_greedy_tokens_do_not_depend_on_the_batch_size(decoder: Decoder, batch_size: int) -> None:
    requests = [Request(prompt_ids=p, max_new_tokens=3 + 5 * i % 17) for i, p in enumerate(prompts(LENGTHS))]
    assert decoder.generate(requests, batch_size=batch_size) == decoder.generate(requests, batch_size=1)


@pytest.mark.parametrize("batch_size", [2, 7])
def test_drawn_tokens_depend_on_the_rows_seed_alone(decoder: Decoder, batch_size: int) -> None:
    requests = [
        Request(prompt_ids=p, max_new_tokens=12, temperature=1.0, top_p=1.0 - 0.1 * (i % 3), seed=i)
        for i, p in enumerate(prompts(LENGTHS))
    ]
    alone = [decoder.generate([request], batch_size=1)[0] for request in requests]
    assert decoder.generate(requests, batch_size=batch_size) == alone
    assert decoder.generate(requests[::-1], batch_size=batch_size) == alone[::-1]


def test_another_seed_draws_other_tokens(decoder: Decoder) -> None:
    (prompt,) = prompts((6,))
    requests = [
        Request(prompt_ids=prompt, max_new_tokens=20, temperature=1.5, seed=seed) for seed in range(20)
    ]
    assert len(set(tokens(decoder.generate(requests, batch_size=20)))) == 20


def test_without_eos_and_stop_the_length_is_forced(decoder: Decoder) -> None:
    found = decoder.generate([Request(prompt_ids=(3,), max_new_tokens=40)], batch_size=1)
    assert len(found[0].token_ids) == 40
    assert found[0].finish_reason is FinishReason.LENGTH


def test_an_eos_token_ends_its_row_and_is_not_kept(model: object, decoder: Decoder) -> None:
    (prompt,) = prompts((5,))
    plain = reference_greedy(model, prompt, 9)
    end = plain.index(plain[6])
    request = Request(prompt_ids=prompt, max_new_tokens=9, eos_ids=frozenset({plain[6], 96}))
    found = decoder.generate([request], batch_size=1)
    assert found == [Generation(token_ids=plain[:end], finish_reason=FinishReason.EOS)]


class Recorder:
    """A StopCheck that keeps what it was shown and fires on a token."""

    def __init__(self, stop: int | None) -> None:
        self.stop = stop
        self.news: list[tuple[int, int]] = []

    def __call__(self, token_ids: Sequence[int], new: int) -> bool:
        self.news.append((len(token_ids), new))
        return self.stop in token_ids[-new:]


def test_a_stop_check_sees_every_token_once(decoder: Decoder) -> None:
    recorder = Recorder(None)
    count = 2 * STOP_INTERVAL + 3
    request = Request(prompt_ids=(1, 2), max_new_tokens=count, should_stop=recorder)
    found = decoder.generate([request], batch_size=1)
    assert sum(new for _, new in recorder.news) == count
    assert recorder.news[-1][0] == count
    assert found[0].finish_reason is FinishReason.LENGTH


def test_a_stop_ends_its_row_within_the_interval_and_not_its_neighbour(decoder: Decoder) -> None:
    first, second = prompts((5, 8))
    plain = tokens(decoder.generate([Request(prompt_ids=first, max_new_tokens=30)], batch_size=1))[0]
    place = plain.index(plain[3])
    found = decoder.generate(
        [
            Request(prompt_ids=first, max_new_tokens=30, should_stop=Recorder(plain[3])),
            Request(prompt_ids=second, max_new_tokens=30),
        ],
        batch_size=2,
    )
    assert found[0].finish_reason is FinishReason.STOP
    assert place < len(found[0].token_ids) <= place + STOP_INTERVAL
    assert found[0].token_ids == plain[: len(found[0].token_ids)]
    assert len(found[1].token_ids) == 30


def test_callbacks_come_once_and_waiting_rows_fill_free_places(decoder: Decoder) -> None:
    news: list[object] = []
    counts = (6, 2, 3, 1)
    requests = [
        Request(prompt_ids=p, max_new_tokens=n) for p, n in zip(prompts((2, 3, 4, 5)), counts, strict=True)
    ]
    decoder.generate(
        requests,
        batch_size=2,
        on_first_token=lambda: news.append("first"),
        on_finish=lambda index, generation: news.append((index, len(generation.token_ids))),
    )
    # row 1 ends after two tokens, row 2 takes its place and ends with its third, then row 3, then row 0
    assert news == ["first", (1, 2), (2, 3), (3, 1), (0, 6)]


def test_a_request_that_fills_every_position_works_and_one_more_is_refused(decoder: Decoder) -> None:
    full = Request(prompt_ids=(1,) * 100, max_new_tokens=28)
    assert len(decoder.generate([full], batch_size=1)[0].token_ids) == 28
    over = Request(prompt_ids=(1,) * 100, max_new_tokens=29)
    with pytest.raises(UsageError, match="needs 129 positions, but the model has 128; shorten"):
        decoder.generate([over], batch_size=1)


@pytest.mark.parametrize(
    ("request_", "size", "message"),
    [
        (Request(prompt_ids=(), max_new_tokens=1), 1, "empty prompt"),
        (Request(prompt_ids=(1,), max_new_tokens=0), 1, "asks for no new token"),
        (Request(prompt_ids=(1,), max_new_tokens=1), 0, "batch size 0"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    decoder: Decoder, request_: Request, size: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        decoder.generate([request_], batch_size=size)


def test_no_requests_give_no_generations(decoder: Decoder) -> None:
    assert decoder.generate([], batch_size=4) == []


def test_scores_do_not_depend_on_how_sequences_are_grouped(decoder: Decoder) -> None:
    texts = prompts((9, 2, 100, 1))
    together = list(decoder.score(texts))
    for text, scored in zip(texts, together, strict=True):
        (alone,) = decoder.score([text])
        torch.testing.assert_close(scored, alone, rtol=1e-5, atol=1e-5)


def test_resident_tensors_hold_every_parameter_once(model: torch.nn.Module, decoder: Decoder) -> None:
    held = sum(tensor.numel() for _, tensor in decoder.resident_tensors())
    assert held == sum(parameter.numel() for parameter in model.parameters())
    names = [name for name, _ in decoder.resident_tensors()]
    assert len(set(names)) == len(names)


def test_schemes_name_every_matrix_of_the_checkpoint(model: torch.nn.Module, decoder: Decoder) -> None:
    expected = {
        name: ("W32", parameter.numel())
        for name, parameter in model.named_parameters()
        if parameter.dim() == 2
    }
    assert dict(decoder.schemes()) == expected


def test_step_bytes_count_weights_once_and_the_cache_of_every_row(decoder: Decoder) -> None:
    weights, kv = decoder.step_bytes(4, 50)
    assert weights == sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    assert kv == 4 * 50 * 2 * 2 * (2 * 8) * 4  # rows, positions, layers, keys and values, heads, bytes


def test_step_bytes_read_only_the_tokens_rows_of_an_untied_embedding() -> None:
    decoder = native(reference_model("llama"))
    weights, _ = decoder.step_bytes(2, 50)
    held = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    assert weights == held - (97 - 2) * 32 * 4


def test_the_engine_imports_neither_transformers_nor_accelerate() -> None:
    script = """
import sys
from quantbench.engine import load, config, decoder
import quantbench.decoding.transformers
loaded = {name.partition('.')[0] for name in sys.modules}
assert 'torch' in loaded
print(sorted(loaded & {'transformers', 'accelerate', 'triton', 'scipy', 'matplotlib'}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_logits_that_are_not_finite_end_the_call_in_one_sentence(temperature: float) -> None:
    source = source_of(reference_model("qwen2-tied"))
    source.tensors["model.norm.weight"] = source.tensors["model.norm.weight"].clone().fill_(3e38)
    broken = load_decoder(*read(source, keep_float), device="cpu", dtype="float32")
    request = Request(prompt_ids=(3, 4), max_new_tokens=5, temperature=temperature)
    with pytest.raises(NotFiniteError, match=r"logits of request 0 after 0 new tokens are not finite.*bf16"):
        broken.generate([request], batch_size=1)


@pytest.mark.parametrize("wrong", [-1, 97])
def test_a_token_beyond_the_vocabulary_is_refused(decoder: Decoder, wrong: int) -> None:
    with pytest.raises(UsageError, match=f"token {wrong}"):
        decoder.generate([Request(prompt_ids=(3, wrong), max_new_tokens=1)], batch_size=1)
    with pytest.raises(UsageError, match=f"token {wrong}"):
        list(decoder.score([(3, wrong)]))


def several_answers(new: Sequence[int] = (9, 4, 17, 1, 6)) -> list[Request]:
    """Five drawn answers to each of three prompts, of unequal lengths."""
    return [
        Request(prompt_ids=prompt, max_new_tokens=count, temperature=1.0, seed=100 * number + index)
        for number, prompt in enumerate(prompts((5, 30, 12)))
        for index, count in enumerate(new)
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 50])
def test_answers_that_share_a_prompt_are_those_of_requests_alone(decoder: Decoder, batch_size: int) -> None:
    asked = several_answers()
    alone = [decoder.generate([request], batch_size=1)[0] for request in asked]
    assert decoder.generate(asked, batch_size=batch_size) == alone


@pytest.mark.parametrize("batch_size", [1, 4, 15])
def test_a_prompt_is_computed_once_for_all_its_answers(
    decoder: Decoder, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quantbench.engine import passes as module

    computed: list[int] = []
    whole = module.prompt_pass

    def counted(model: Any, texts: Any, *rest: Any, **options: Any) -> torch.Tensor:
        computed.extend(map(len, texts))
        return whole(model, texts, *rest, **options)

    monkeypatch.setattr(module, "prompt_pass", counted)
    decoder.generate(several_answers(), batch_size=batch_size)
    assert sorted(computed) == [5, 12, 30]
