"""The distance from the baseline where an engine tells its most likely tokens alone.

A divergence is then taken over the tokens that both sides name, with all others as one bucket: a coarser
partition than that of whole distributions, so it can only be smaller (data processing inequality). Losses are
exact, since the token that follows is always told.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from quantbench.decoding import MostLikely, TellsMostLikely
from quantbench.errors import NotFiniteError
from quantbench.measure.distance import KL_DIGITS, STAGE, TOP_K, baseline_problem, divergences
from quantbench.measure.predictions import Reference, ScoredText, digest_of
from quantbench.progress import Progress
from quantbench.records import Distance, ProblemDistance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_REST = 1e-9  # of the probability: what float32 log-probabilities leave of all others together


def score_baseline(
    decoder: TellsMostLikely, texts: Sequence[ScoredText], *, title: str, progress: Progress
) -> tuple[Distance, Reference]:
    """The baseline's own losses, and what it tells of its predictions for the methods to come."""
    import numpy as np

    found, problems = [], []
    for text, told in _predictions(decoder, texts, progress):
        log_p, nll = np.array(told.log_p), -np.array(told.true_log_p)
        found.append((np.array(told.ids), log_p, log_rest(log_p), nll))
        confidence = np.exp(log_p[:, 0]).clip(0, 1).tolist()
        problems.append(baseline_problem(text, len(nll), float(nll.sum()), confidence))
    ids, log_ps, rests, losses = (np.concatenate(parts) for parts in zip(*found, strict=True))
    reference = Reference(
        digest=digest_of(texts),
        ids=ids.astype(np.int32),
        log_p=log_ps.astype(np.float32),
        log_rest=rests.astype(np.float32),
        nll=losses.astype(np.float32),
    )
    return Distance(text=title, top_k=reference.top_k, problems=tuple(problems)), reference


def score_method(
    decoder: TellsMostLikely,
    texts: Sequence[ScoredText],
    reference: Reference,
    *,
    title: str,
    progress: Progress,
) -> Distance:
    """Losses and divergence of an engine, token by token, nats."""
    import numpy as np

    start, problems = 0, []
    for text, told in _predictions(decoder, texts, progress):
        part = slice(start, start + len(told.true_log_p))
        start = part.stop
        kl = divergence(reference, part, told)
        problems.append(
            ProblemDistance(
                task_id=text.name,
                tokens=len(kl),
                prompt_tokens=text.prompt_tokens,
                nll=-float(np.sum(told.true_log_p)),
                baseline_nll=float(reference.nll[part].sum(dtype="float64")),
                kl=tuple(float(f"{value:.{KL_DIGITS - 1}e}") for value in kl),
                same_top=int((np.array(told.ids)[:, 0] == reference.ids[part, 0]).sum()),
            )
        )
    return Distance(text=title, top_k=reference.top_k, problems=tuple(problems))


def divergence(reference: Reference, part: slice, told: MostLikely) -> list[float]:
    """KL(baseline || engine) of each place over the tokens that both name and one bucket, nats."""
    import numpy as np
    import torch

    ids, log_p = reference.ids[part], reference.log_p[part].astype(np.float64)
    named = np.isfinite(np.array(told.log_p))
    same = (ids[:, :, None] == np.array(told.ids)[:, None, :]) & named[:, None, :]
    both = same.any(axis=2) & np.isfinite(log_p)
    both[:, 1:] &= ids[:, 1:] != ids[:, :1]  # the first stands again where no more were kept
    log_q = np.where(both, np.take_along_axis(np.array(told.log_p), same.argmax(axis=2), axis=1), -np.inf)
    kept_p = np.where(both, log_p, -np.inf)
    dropped = np.where(both, 0.0, np.exp(log_p)).sum(axis=1)
    with np.errstate(divide="ignore"):
        rest_p = np.log(np.exp(reference.log_rest[part].astype(np.float64)) + dropped)
    parts = (kept_p, rest_p, log_q, log_rest(log_q))
    return [float(value) for value in divergences(*(torch.from_numpy(value) for value in parts))]


def log_rest(log_p: "Floats") -> "Floats":
    """Log-probability of all tokens that are not named [N], at least that of LEAST_REST."""
    import numpy as np

    rest: Floats = np.log(np.maximum(1.0 - np.exp(log_p).sum(axis=1), LEAST_REST))
    return rest


def _predictions(
    decoder: TellsMostLikely, texts: Sequence[ScoredText], progress: Progress
) -> Iterator[tuple[ScoredText, MostLikely]]:
    """Each text with what the engine tells; NotFiniteError for what is no number."""
    import math

    told = decoder.most_likely([text.token_ids for text in texts], TOP_K)
    progress(STAGE, 0, len(texts))
    for number, (text, found) in enumerate(zip(texts, told, strict=True), start=1):
        if not all(map(math.isfinite, found.true_log_p)):
            raise NotFiniteError(f"the losses in the text '{text.name}' are")
        yield text, found
        progress(STAGE, number, len(texts))
