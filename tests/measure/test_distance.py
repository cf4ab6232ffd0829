from pathlib import Path

import numpy as np
import pytest
import torch

from quantbench.errors import NotFiniteError
from quantbench.measure.distance import score_baseline, score_method
from quantbench.measure.predictions import (
    Reference,
    ReferenceMissing,
    ScoredText,
    load_reference,
    save_reference,
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


@pytest.mark.parametrize("together", [1, 3 * VOCABULARY, 1 << 24])
def test_how_many_texts_are_looked_at_together_changes_nothing(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, kept = distance(OTHER), reference()
    monkeypatch.setattr("quantbench.measure.distance.CPU_LOGITS", together)
    assert distance(OTHER) == before
    assert np.array_equal(reference().ids, kept.ids) and np.array_equal(reference().nll, kept.nll)


def test_a_prediction_that_is_no_number_names_its_text() -> None:
    broken = OTHER.clone()
    broken[7] = torch.nan
    with pytest.raises(NotFiniteError, match="in the text 'b'"):
        distance(broken)


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
    found = score_method(BigramDecoder(OTHER), TEXTS, loaded, title="texts", progress=quiet)
    for problem, exact in zip(found.problems, distance(OTHER).problems, strict=True):
        assert problem.kl == pytest.approx(exact.kl, rel=2e-2, abs=3e-8)
        assert (problem.nll, problem.same_top) == (pytest.approx(exact.nll, rel=1e-6), exact.same_top)


def sharp(temperature: float) -> torch.Tensor:
    """A table whose predictions are the surer the lower the temperature."""
    return random_table(400, seed=3) / temperature


def saved_distance(tmp_path: Path, base: torch.Tensor, other: torch.Tensor, top_k: int) -> list[float]:
    """KL of every token against predictions that were stored."""
    _, kept = score_baseline(BigramDecoder(base), TEXTS, title="t", progress=quiet, top_k=top_k)
    save_reference(tmp_path / "x.npz", kept)
    loaded = load_reference(tmp_path / "x.npz", TEXTS)
    found = score_method(BigramDecoder(other), TEXTS, loaded, title="t", progress=quiet)
    return [kl for problem in found.problems for kl in problem.kl]


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1])
@pytest.mark.parametrize("top_k", [128, 400])
def test_what_is_stored_of_the_baseline_is_no_farther_from_it_than_promised(
    tmp_path: Path, temperature: float, top_k: int
) -> None:
    table = sharp(temperature)
    assert max(saved_distance(tmp_path, table, table, top_k)) < 3e-8


def test_a_small_distance_is_measured_through_what_is_stored(tmp_path: Path) -> None:
    base = sharp(0.3)
    other = base + 0.02 * random_table(400, seed=4)
    inputs = torch.tensor([token for text in TEXTS for token in text.token_ids[:-1]])
    p, q = base[inputs].double().log_softmax(-1), other[inputs].double().log_softmax(-1)
    exact = (p.exp() * (p - q)).sum(-1)
    assert 1e-5 < exact.mean() < 1e-3
    found = saved_distance(tmp_path, base, other, 400)
    assert sum(found) / len(found) == pytest.approx(float(exact.mean()), rel=1e-2)


def test_tokens_without_probability_take_no_room(tmp_path: Path) -> None:
    text = ScoredText(name="all", token_ids=tuple(range(400)))
    sizes = []
    for temperature in (1.0, 0.05):
        decoder = BigramDecoder(sharp(temperature))
        _, kept = score_baseline(decoder, [text], title="t", progress=quiet, top_k=128)
        save_reference(tmp_path / "x.npz", kept)
        sizes.append((tmp_path / "x.npz").stat().st_size)
    assert sizes[1] < sizes[0] / 2 and sizes[0] < kept.ids.nbytes + kept.log_p.nbytes


def test_files_of_older_versions_are_read_as_they_are(tmp_path: Path) -> None:
    kept = reference(top_k=4)
    save_reference(tmp_path / "new.npz", kept)
    new = load_reference(tmp_path / "new.npz", TEXTS)
    steps = np.where(np.isinf(new.log_p), 0xFFFF, np.rint(-new.log_p * (1 << 11))).astype(np.uint16)
    with (tmp_path / "old.npz").open("wb") as file:
        np.savez_compressed(
            file, digest=new.digest, ids=new.ids, steps=steps, log_rest=new.log_rest, nll=new.nll
        )
    old = load_reference(tmp_path / "old.npz", TEXTS)
    for name in ("ids", "log_p", "log_rest", "nll"):
        assert np.array_equal(getattr(old, name), getattr(new, name))


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
