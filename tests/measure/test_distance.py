from pathlib import Path

import pytest
import torch

from quantbench.measure.distance import (
    Reference,
    ReferenceMissing,
    ScoredText,
    load_reference,
    save_reference,
    score_baseline,
    score_method,
)
from quantbench.records import Distance
from tests.bigram import BigramDecoder, random_table

VOCABULARY = 20
TEXTS = (
    ScoredText(name="a", token_ids=(1, 5, 3, 3, 19)),
    ScoredText(name="b", token_ids=(7, 0, 2)),
)
BASE = random_table(VOCABULARY, seed=1)
OTHER = BASE + 0.3 * random_table(VOCABULARY, seed=2)


def quiet(stage: str, done: int, total: int) -> None:
    pass


def reference(top_k: int = 128) -> Reference:
    return score_baseline(BigramDecoder(BASE), TEXTS, title="texts", progress=quiet, top_k=top_k)[1]


def distance(table: torch.Tensor, top_k: int = 128, tail: int = 0) -> Distance:
    decoder = BigramDecoder(table)
    return score_method(decoder, TEXTS, reference(top_k), title="texts", progress=quiet, tail=tail)


def exact_divergence(text: ScoredText) -> torch.Tensor:
    """KL over the whole vocabulary, float64, one value a predicted token."""
    inputs = torch.tensor(text.token_ids[:-1])
    p = BASE[inputs].double().log_softmax(-1)
    q = OTHER[inputs].double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def test_divergence_is_exact_when_every_token_is_kept() -> None:
    for text, problem in zip(TEXTS, distance(OTHER).problems, strict=True):
        assert problem.kl == pytest.approx(exact_divergence(text).tolist(), rel=1e-4)


def test_divergence_over_a_few_tokens_and_the_rest_is_a_lower_bound() -> None:
    bounds = [kl for problem in distance(OTHER, top_k=4).problems for kl in problem.kl]
    exact = torch.cat([exact_divergence(text) for text in TEXTS]).tolist()
    assert all(0 < bound < true for bound, true in zip(bounds, exact, strict=True))


def test_more_kept_tokens_tighten_the_bound() -> None:
    few, many = (sum(distance(OTHER, top_k=k).problems[0].kl) for k in (2, 10))
    assert few < many


def test_the_same_model_has_no_distance() -> None:
    problems = distance(BASE).problems
    assert max(kl for problem in problems for kl in problem.kl) < 1e-6
    assert [problem.same_top for problem in problems] == [4, 2]


def test_loss_is_the_cross_entropy_of_the_tokens_that_follow() -> None:
    ids = torch.tensor(TEXTS[0].token_ids)
    expected = torch.nn.functional.cross_entropy(OTHER[ids[:-1]], ids[1:], reduction="sum")
    assert distance(OTHER).problems[0].nll == pytest.approx(float(expected), rel=1e-5)


def test_baseline_loss_stands_beside_the_methods_own() -> None:
    own = score_baseline(BigramDecoder(BASE), TEXTS, title="texts", progress=quiet)[0]
    assert distance(OTHER).problems[1].baseline_nll == pytest.approx(own.problems[1].nll, rel=1e-5)


def test_same_top_counts_tokens_whose_most_likely_one_is_the_baselines() -> None:
    shifted = BASE.clone()
    shifted[5] = shifted[5].roll(1)
    assert [problem.same_top for problem in distance(shifted).problems] == [3, 2]


def test_a_tail_changes_what_is_computed_and_nothing_that_is_reported() -> None:
    assert distance(OTHER, tail=3) == distance(OTHER)


def test_reference_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "distance" / "x.npz"
    save_reference(path, reference())
    loaded = load_reference(path, TEXTS)
    assert score_method(BigramDecoder(OTHER), TEXTS, loaded, title="texts", progress=quiet) == distance(OTHER)


def test_reference_of_other_texts_is_refused(tmp_path: Path) -> None:
    save_reference(tmp_path / "x.npz", reference())
    with pytest.raises(ReferenceMissing, match="other texts"):
        load_reference(tmp_path / "x.npz", TEXTS[:1])


def test_missing_reference_is_said(tmp_path: Path) -> None:
    with pytest.raises(ReferenceMissing, match="not in the results folder"):
        load_reference(tmp_path / "x.npz", TEXTS)


def test_damaged_reference_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ReferenceMissing, match="cannot be read"):
        load_reference(tmp_path / "x.npz", TEXTS)


def test_baseline_keeps_how_sure_it_was_at_each_token() -> None:
    kept = score_baseline(BigramDecoder(BASE), TEXTS, title="texts", progress=quiet)[0].problems[0]
    inputs = torch.tensor(TEXTS[0].token_ids[:-1])
    assert kept.confidence == pytest.approx(BASE[inputs].softmax(-1).max(-1).values.tolist(), abs=1e-4)
