"""How far a method's next-token distributions lie from the baseline's, teacher-forced over fixed texts.

The baseline's process keeps, for every token, the log-probabilities of its top k tokens and the rest of
the vocabulary as one bucket. A divergence between distributions over these k + 1 buckets can only be
smaller than the one over the whole vocabulary (data processing inequality): what is measured is a lower
bound of the KL divergence, equal to it when k is the vocabulary. Statistics are not made here.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.errors import NotFiniteError
from quantbench.measure.predictions import Reference, ScoredText, digest_of
from quantbench.records import Distance, ProblemDistance

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

TOP_K = 128
STAGE = "distance from the baseline"
KL_DIGITS = 5  # significant ones that a record keeps
CONFIDENCE_PLACES = 4


def score_baseline(
    decoder: Decoder,
    texts: Sequence[ScoredText],
    *,
    title: str,
    progress: Callable[[str, int, int], None],
    top_k: int = TOP_K,
) -> tuple[Distance, Reference]:
    """The baseline's own losses and its predictions for the methods to come; `title` names the texts."""
    import numpy as np

    k = min(top_k, decoder.vocab_size)
    rows, problems = [], []
    for text, logits, following in _predictions(decoder, texts, progress):
        top = logits.topk(k, dim=-1).indices
        log_p, log_rest = _buckets(logits, top)
        nll = _losses(logits, following, log_p, log_rest, top)
        _require_finite(text.name, nll)
        rows.append([_array(part) for part in (top.int(), log_p.float(), log_rest.float(), nll.float())])
        confidence = log_p[:, 0].exp().tolist()
        problems.append(baseline_problem(text, len(nll), float(nll.sum()), confidence))
    ids, log_ps, rests, losses = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    reference = Reference(digest=digest_of(texts), ids=ids, log_p=log_ps, log_rest=rests, nll=losses)
    return Distance(text=title, top_k=k, problems=tuple(problems)), reference


def baseline_problem(
    text: ScoredText, tokens: int, nll: float, confidence: Sequence[float]
) -> ProblemDistance:
    """What a problem's distance is of the baseline from itself: its loss in nats, and how sure it was."""
    return ProblemDistance(
        task_id=text.name,
        tokens=tokens,
        prompt_tokens=text.prompt_tokens,
        nll=nll,
        baseline_nll=nll,
        same_top=tokens,
        confidence=tuple(round(p, CONFIDENCE_PLACES) for p in confidence),
    )


def score_method(
    decoder: Decoder,
    texts: Sequence[ScoredText],
    reference: Reference,
    *,
    title: str,
    progress: Callable[[str, int, int], None],
    tail: int = 0,
) -> Distance:
    """Losses and divergence of a method, token by token, nats.

    `tail` appends so many tokens to every text and drops their predictions: the same function in other
    matrix shapes, which is how the noise of the baseline itself is measured.
    """
    import torch

    start, problems = 0, []
    for text, logits, following in _predictions(decoder, texts, progress, tail):
        part = slice(start, start + len(following))
        start += len(following)
        ids = torch.from_numpy(reference.ids[part].astype("int64")).to(logits.device)
        log_p = torch.from_numpy(reference.log_p[part]).to(logits.device).double()
        log_q, log_q_rest = _buckets(logits, ids, log_p != -torch.inf)
        nll = _losses(logits, following, log_q, log_q_rest, ids)
        log_p_rest = torch.from_numpy(reference.log_rest[part]).to(logits.device).double()
        divergence = divergences(log_p, log_p_rest, log_q, log_q_rest)
        _require_finite(text.name, nll, divergence)
        same = logits.gather(-1, ids[:, :1])[:, 0] == logits.max(dim=-1).values
        problems.append(
            ProblemDistance(
                task_id=text.name,
                tokens=len(nll),
                prompt_tokens=text.prompt_tokens,
                nll=float(nll.sum()),
                baseline_nll=float(reference.nll[part].sum(dtype="float64")),
                kl=tuple(float(f"{value:.{KL_DIGITS - 1}e}") for value in divergence.tolist()),
                same_top=int(same.sum()),
            )
        )
    return Distance(text=title, top_k=reference.top_k, problems=tuple(problems))


def divergences(
    log_p: "torch.Tensor", log_p_rest: "torch.Tensor", log_q: "torch.Tensor", log_q_rest: "torch.Tensor"
) -> "torch.Tensor":
    """KL(p || q) of each token over k + 1 buckets, nats, float64: [N, k] and [N] each -> [N], not below 0."""
    import torch

    p = torch.cat([log_p, log_p_rest[:, None]], dim=-1).log_softmax(dim=-1)
    q = torch.cat([log_q, log_q_rest[:, None]], dim=-1).log_softmax(dim=-1)
    terms = torch.where(p == -torch.inf, 0.0, p.exp() * (p - q))  # an empty bucket adds nothing, a NaN stays
    return terms.sum(dim=-1).clamp(min=0.0)


def _predictions(
    decoder: Decoder,
    texts: Sequence[ScoredText],
    progress: Callable[[str, int, int], None],
    tail: int = 0,
) -> "Iterator[tuple[ScoredText, torch.Tensor, torch.Tensor]]":
    """Each text with its logits [tokens - 1, vocabulary] and the tokens that follow [tokens - 1]."""
    import torch

    from quantbench.weights.finite import check_logits

    sequences = [(*text.token_ids, *text.token_ids[:tail]) for text in texts]
    scores = decoder.score(sequences, [text.prompt_tokens for text in texts])
    progress(STAGE, 0, len(texts))
    for number, (text, logits) in enumerate(zip(texts, scores, strict=True), start=1):
        following = torch.tensor(text.token_ids[1:], device=logits.device)
        check_logits(logits, f"in the text '{text.name}'")
        yield text, logits[: len(following)], following
        progress(STAGE, number, len(texts))


def _buckets(
    logits: "torch.Tensor", ids: "torch.Tensor", kept: "torch.Tensor | None" = None
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Log-probabilities of the tokens `ids` [N, k] and of all others together [N], float64.

    Where `kept` [N, k] is false there is no token but the first one's id again, and minus infinity is given.
    """
    import torch

    inside = logits.gather(-1, ids).double()
    if kept is not None:
        inside = inside.masked_fill(~kept, -torch.inf)
    outside = logits.scatter(-1, ids, -torch.inf).logsumexp(dim=-1).double()
    total = torch.logaddexp(inside.logsumexp(dim=-1), outside)
    return inside - total[:, None], outside - total


def _require_finite(name: str, *figures: "torch.Tensor") -> None:
    """NotFiniteError where a loss or a divergence of the text `name` is NaN or infinite."""
    from quantbench.weights.finite import is_finite

    if not all(map(is_finite, figures)):
        raise NotFiniteError(f"the losses in the text '{name}' are")


def _losses(
    logits: "torch.Tensor",
    following: "torch.Tensor",
    log_p: "torch.Tensor",
    log_rest: "torch.Tensor",
    ids: "torch.Tensor",
) -> "torch.Tensor":
    """Negative log-likelihood of each following token, nats, float64 [N]."""
    total = logits.gather(-1, ids[:, :1])[:, 0].double() - log_p[:, 0]
    return total - logits.gather(-1, following[:, None])[:, 0].double()


def _array(tensor: "torch.Tensor") -> "NDArray[np.float32]":
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array
