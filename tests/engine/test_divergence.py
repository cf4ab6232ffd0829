"""What a candidate costs by one pass back, against gradients of the whole model in transformers."""

import pytest
import torch
from torch import Tensor

from quantbench.engine import divergence
from quantbench.engine.divergence import candidate_divergences
from quantbench.engine.load import load_decoder
from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.readers import Quantizing
from tests.model_folders import tiny_source

TEXTS = [
    [int(t) for t in torch.randint(0, 64, (12,), generator=torch.Generator().manual_seed(n))]
    for n in range(64)
]
SMALL = 0.02  # of the weights' own size
QKV, DOWN = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.mlp.down_proj.weight"
EMBEDDING = "model.embed_tokens.weight"


def changed(name: str, value: Tensor, size: float = SMALL) -> Weight:
    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name)))
    return FloatWeight(value.float() + size * value.float().std() * noise)


def candidates(names: list[str], values: list[Tensor]) -> list[list[Weight]]:
    return [
        [changed(n, v, size) for n, v in zip(names, values, strict=True)] for size in (0.0, SMALL, 2 * SMALL)
    ]


def measured(source: ModelSource, names: tuple[str, ...]) -> float:
    """KL in nats a token with the named matrices changed."""

    def logits(touched: tuple[str, ...]) -> Tensor:
        reader = Quantizing(source, lambda n, v: changed(n, v) if n in touched else FloatWeight(v.float()))
        decoder = load_decoder(source, reader, device="cpu", dtype="float32", exact_prompts=True)
        return torch.cat(list(decoder.score(TEXTS, [len(text) for text in TEXTS]))).log_softmax(-1)

    p, q = logits(()), logits(names)
    return float((p.exp() * (p - q)).sum(-1).mean())


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def source(request: pytest.FixtureRequest) -> ModelSource:
    return tiny_source(num_hidden_layers=2, tie_word_embeddings=request.param)


@pytest.fixture(scope="module")
def found(source: ModelSource) -> dict[str, list[float]]:
    return candidate_divergences(source, TEXTS, candidates, device="cpu")  # type: ignore[arg-type]


def test_matrices_that_are_held_as_one_are_told_once(
    source: ModelSource, found: dict[str, list[float]]
) -> None:
    kinds = ("self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj")
    layers = {f"model.layers.{n}.{kind}.weight" for n in range(2) for kind in kinds}
    ends = {EMBEDDING} if source.config["tie_word_embeddings"] else {EMBEDDING, "lm_head.weight"}
    assert found.keys() == layers | ends


@pytest.mark.parametrize("name", [QKV, DOWN, EMBEDDING])
def test_a_small_change_costs_what_the_model_loses(
    name: str, source: ModelSource, found: dict[str, list[float]]
) -> None:
    parts = (name,) if name != QKV else tuple(QKV.replace("q_proj", f"{k}_proj") for k in "qkv")
    assert found[name][1] == pytest.approx(measured(source, parts), rel=0.4)  # 48 texts, one draw of each


def test_no_change_costs_nothing_and_twice_the_change_four_times_as_much(
    found: dict[str, list[float]],
) -> None:
    for none, once, twice in found.values():
        assert none == pytest.approx(0, abs=1e-9)
        assert twice == pytest.approx(4 * once, rel=1e-2)


def test_texts_that_run_through_the_head_in_parts_give_the_same(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one(names: list[str], values: list[Tensor]) -> list[list[Weight]]:
        return [[changed(n, v) for n, v in zip(names, values, strict=True)]] if names[0] == DOWN else []

    monkeypatch.setattr(
        torch, "multinomial", lambda likely, number, generator: likely.argmax(-1, keepdim=True)
    )
    whole = candidate_divergences(source, TEXTS[:4], one, device="cpu")[DOWN]  # type: ignore[arg-type]
    monkeypatch.setattr(divergence, "AT_ONCE", 7)
    parts = candidate_divergences(source, TEXTS[:4], one, device="cpu")[DOWN]  # type: ignore[arg-type]
    assert parts == pytest.approx(whole, rel=1e-4)


def test_layers_that_are_not_plain_are_refused() -> None:
    gemma = tiny_source(architectures=None, model_type="gemma2")
    with pytest.raises(ModelError, match="norms elsewhere than before attention and MLP"):
        candidate_divergences(gemma, TEXTS[:1], candidates, device="cpu")  # type: ignore[arg-type]
