"""Our model against transformers, in float32, on small random models of every family."""

import pytest
import torch

from quantbench.decoding import Request
from tests.engine.models import VARIANTS, native, prompts, reference_greedy, reference_model


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_agree_with_transformers_to_1e_4(variant: str) -> None:
    model = reference_model(variant)
    texts = prompts((1, 40, 13))
    for ids, ours in zip(texts, native(model).score(texts), strict=True):
        with torch.no_grad():
            theirs = model(torch.tensor([ids])).logits[0]
        assert ours.dtype == torch.float32
        assert ours.shape == theirs.shape
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_greedy_tokens_of_a_ragged_batch_are_those_of_transformers(variant: str) -> None:
    model = reference_model(variant)
    texts = prompts((3, 17, 1, 9, 30))
    counts = (20, 5, 12, 1, 9)
    requests = [Request(prompt_ids=p, max_new_tokens=n) for p, n in zip(texts, counts, strict=True)]
    found = native(model).generate(requests, batch_size=2)
    assert [g.token_ids for g in found] == [
        reference_greedy(model, p, n) for p, n in zip(texts, counts, strict=True)
    ]
