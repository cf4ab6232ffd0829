import pytest
import torch

from quantbench.weights.quantizers.importance import input_importance, norm_before
from tests.model_folders import tiny_source

LAYER = "model.layers.3."


@pytest.mark.parametrize(
    ("matrix", "norm"),
    [
        (f"{LAYER}self_attn.k_proj.weight", f"{LAYER}input_layernorm.weight"),
        (f"{LAYER}mlp.up_proj.weight", f"{LAYER}post_attention_layernorm.weight"),
        ("lm_head.weight", "model.norm.weight"),
        (f"{LAYER}self_attn.o_proj.weight", None),
        (f"{LAYER}mlp.down_proj.weight", None),
        ("model.embed_tokens.weight", None),
    ],
)
def test_a_matrix_is_weighted_by_the_norm_that_it_reads(matrix: str, norm: str | None) -> None:
    assert norm_before(matrix, tied=False) == norm


def test_a_tied_embedding_is_weighted_as_the_head() -> None:
    assert norm_before("model.embed_tokens.weight", tied=True) == "model.norm.weight"


def test_importance_is_the_square_of_the_norms_weight() -> None:
    source = tiny_source()
    norm = torch.arange(64, dtype=torch.bfloat16)
    source.tensor = lambda name: norm if name == "model.norm.weight" else None  # type: ignore[method-assign]
    found = input_importance(source, "model.embed_tokens.weight")
    assert found is not None
    assert torch.equal(found, norm.float().square())


def test_equal_weights_of_a_norm_say_nothing() -> None:
    assert input_importance(tiny_source(), "model.embed_tokens.weight") is None
