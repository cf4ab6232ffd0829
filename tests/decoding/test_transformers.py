"""The transformers adapter: the same answers as our engine, stops and draws included."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.decoding.transformers import TransformersDecoder
from quantbench.decoding.transformers_loading import load_transformers_decoder
from quantbench.errors import ModelError, NotFiniteError, UsageError
from quantbench.kernels import find_kernel
from quantbench.sources import open_source
from tests.engine.models import SHAPE, native, prompts, ran, reference_greedy, reference_model


@pytest.fixture(scope="module")
def model() -> object:
    return reference_model("qwen2-tied")


@pytest.fixture(scope="module")
def adapter(model: object) -> TransformersDecoder:
    return TransformersDecoder(model, device="cpu")


def test_greedy_tokens_of_a_ragged_batch_are_those_of_whole_passes(
    model: object, adapter: TransformersDecoder
) -> None:
    texts = prompts((3, 17, 1, 9))
    counts = (12, 5, 12, 1)
    requests = [Request(prompt_ids=p, max_new_tokens=n) for p, n in zip(texts, counts, strict=True)]
    found = adapter.generate(requests, batch_size=3)
    assert [g.token_ids for g in found] == [
        reference_greedy(model, p, n) for p, n in zip(texts, counts, strict=True)
    ]


def test_sampled_tokens_are_those_of_our_engine(model: object, adapter: TransformersDecoder) -> None:
    requests = [
        Request(prompt_ids=p, max_new_tokens=10, temperature=t, top_p=top, seed=s)
        for s, (p, t, top) in enumerate(
            zip(prompts((4, 11, 2)), (0.8, 0.0, 1.5), (0.9, 1.0, 1.0), strict=True)
        )
    ]
    assert adapter.generate(requests, batch_size=3) == native(model).generate(requests, batch_size=2)


def test_a_checkpoints_sampling_settings_are_cleared() -> None:
    model = reference_model("llama")
    model.generation_config.do_sample = True
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.eos_token_id = 3
    (prompt,) = prompts((6,))
    found = TransformersDecoder(model, device="cpu").generate(
        [Request(prompt_ids=prompt, max_new_tokens=15)], batch_size=1
    )
    assert found[0].token_ids == reference_greedy(model, prompt, 15)


def test_an_eos_token_ends_its_row_alone_and_is_not_kept(model: object, adapter: TransformersDecoder) -> None:
    first, second = prompts((5, 8))
    plain = reference_greedy(model, first, 8)
    eos = plain[4]
    end = plain.index(eos)
    found = adapter.generate(
        [
            Request(prompt_ids=first, max_new_tokens=8, eos_ids=frozenset({eos})),
            Request(prompt_ids=second, max_new_tokens=8),
        ],
        batch_size=2,
    )
    assert found[0] == Generation(token_ids=plain[:end], finish_reason=FinishReason.EOS)
    assert found[1].token_ids == reference_greedy(model, second, 8)


def test_logits_of_score_are_those_of_our_engine(model: object, adapter: TransformersDecoder) -> None:
    texts = prompts((9, 2))
    for ours, theirs in zip(native(model).score(texts), adapter.score(texts), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_first_token_is_reported_once_and_every_row_when_it_ends(adapter: TransformersDecoder) -> None:
    news: list[object] = []
    requests = [
        Request(prompt_ids=p, max_new_tokens=n) for p, n in zip(prompts((2, 3, 4)), (5, 2, 3), strict=True)
    ]
    adapter.generate(
        requests,
        batch_size=2,
        on_first_token=lambda: news.append("first"),
        on_finish=lambda index, generation: news.append((index, len(generation.token_ids))),
    )
    assert news == ["first", (1, 2), (0, 5), (2, 3)]


def test_schemes_and_sizes_are_those_of_our_engine(model: object, adapter: TransformersDecoder) -> None:
    ours = native(model)
    assert sum(count for _, count in adapter.schemes().values()) == sum(c for _, c in ours.schemes().values())
    assert set(adapter.schemes()) == set(ours.schemes())
    assert sum(t.nbytes for _, t in adapter.resident_tensors()) == sum(
        t.nbytes for _, t in ours.resident_tensors()
    )
    assert adapter.step_bytes(3, 20) == ours.step_bytes(3, 20)


def test_a_request_beyond_the_models_positions_is_refused(adapter: TransformersDecoder) -> None:
    with pytest.raises(UsageError, match="needs 130 positions, but the model has 128"):
        adapter.generate([Request(prompt_ids=(1,) * 100, max_new_tokens=30)], batch_size=1)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_logits_that_are_not_finite_end_the_call_in_one_sentence(temperature: float) -> None:
    model = reference_model("qwen2-tied")
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nan
    request = Request(prompt_ids=(3, 4), max_new_tokens=5, temperature=temperature)
    with pytest.raises(NotFiniteError, match="logits of request 0 after 0 new tokens are not finite"):
        TransformersDecoder(model, device="cpu").generate([request], batch_size=1)


RECURRENT = {
    "rwkv": {"attention_hidden_size": 32},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 16},
    "minimax": {
        "layer_types": ["linear_attention", "full_attention"],
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
        "head_dim": 8,
        "block_size": 8,
    },
}


def recurrent(kind: str) -> object:
    settings = {**SHAPE, **RECURRENT[kind]}
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **settings)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15)
    return model.eval()


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_recurrent_model_answers_the_same_in_any_batch(kind: str) -> None:
    adapter = TransformersDecoder(recurrent(kind), device="cpu")
    requests = [Request(prompt_ids=p, max_new_tokens=6) for p in prompts((3, 17, 9, 3))]
    seen: list[int] = []
    together = adapter.generate(requests, batch_size=4, on_finish=lambda index, _: seen.append(index))
    assert together == adapter.generate(requests, batch_size=1)
    assert sorted(seen) == [0, 1, 2, 3]
    assert ("one row" if kind == "rwkv" else "one length") in ran(adapter, "batches").name


def test_a_model_that_attends_runs_any_lengths_together(adapter: TransformersDecoder) -> None:
    assert find_kernel(adapter.kernels(), "batches") is None


def test_weights_that_are_missing_are_not_drawn_at_random(tmp_path: Path) -> None:
    config = {**SHAPE, "model_type": "phi"}
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(config["model_type"], **SHAPE)
    )
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.layers.0.self_attn.dense.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"lacks 1 of its weights, .* 'model.layers.0.self_attn.dense.weight'"
    ):
        load_transformers_decoder(open_source(str(tmp_path)), device="cpu", dtype="float32")
