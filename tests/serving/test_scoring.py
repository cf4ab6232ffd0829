"""Predictions that servers tell are those of the model behind them, and their divergence is a lower bound."""

from math import log

import numpy as np
import pytest

from quantbench.measure.partial_distance import score_baseline, score_method
from quantbench.measure.predictions import ScoredText
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.dialects import LLAMA_CPP, VLLM
from quantbench.serving.http import Server
from quantbench.serving.scoring import VllmScorer, score_llama_cpp
from tests.serving.fake_server import VOCABULARY, fake_server, probabilities

TEXT = ScoredText(name="a", token_ids=(3, 4, 7, 14, 9), prompt_tokens=2)
SCORERS = {"llamacpp": (LLAMA_CPP, score_llama_cpp), "vllm": (VLLM, VllmScorer(2))}


def scoring(url: str, kind: str) -> ServedDecoder:
    dialect, scorer = SCORERS[kind]
    model = ServedModel(name="tiny", vocab_size=VOCABULARY, max_positions=100, slots=1)
    return ServedDecoder(Server(url), dialect, model, device="cpu", scorer=scorer)


@pytest.mark.parametrize("kind", SCORERS)
def test_the_loss_of_every_token_is_exact(kind: str) -> None:
    with fake_server(kind=kind) as (url, _):
        (told,) = scoring(url, kind).most_likely([TEXT.token_ids], 2)
    ids = TEXT.token_ids
    assert told.true_log_p == [log(probabilities(ids[:i])[ids[i]]) for i in range(1, len(ids))]


@pytest.mark.parametrize("kind", SCORERS)
def test_an_engine_has_no_distance_from_itself(kind: str) -> None:
    with fake_server(kind=kind) as (url, _):
        found = scoring(url, kind)
        _, reference = score_baseline(found, [TEXT], title="t", progress=lambda *_: None)
        distance = score_method(found, [TEXT], reference, title="t", progress=lambda *_: None)
    assert max(distance.problems[0].kl) < 1e-9
    assert distance.problems[0].same_top == len(TEXT.token_ids) - 1


def test_a_divergence_over_what_both_name_is_no_larger_than_that_of_all_tokens() -> None:
    from quantbench.decoding import MostLikely
    from quantbench.measure.partial_distance import divergence, log_rest
    from quantbench.measure.predictions import Reference

    draw = np.random.default_rng(0)
    for _ in range(50):
        p, q = draw.dirichlet(np.full(30, 0.3), size=2) + 1e-6
        p, q = p / p.sum(), q / q.sum()
        best_p, best_q = np.argsort(-p)[:10], np.argsort(-q)[:6]
        log_p = np.log(p[best_p])[None]
        reference = Reference(
            digest="",
            ids=best_p[None].astype(np.int32),
            log_p=log_p.astype(np.float32),
            log_rest=log_rest(log_p).astype(np.float32),
            nll=np.zeros(1, dtype=np.float32),
        )
        told = MostLikely(ids=[best_q.tolist()], log_p=[np.log(q[best_q]).tolist()], true_log_p=[0.0])
        (found,) = divergence(reference, slice(0, 1), told)
        assert 0 <= found <= float((p * np.log(p / q)).sum()) + 1e-6
