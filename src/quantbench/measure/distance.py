"""How far a method's next-token distributions lie from the baseline's, teacher-forced over fixed texts.

The baseline's process keeps, for every token, the log-probabilities of its top k tokens and the rest of
the vocabulary as one bucket. A divergence between distributions over these k + 1 buckets can only be
smaller than the one over the whole vocabulary (data processing inequality): what is measured is a lower
bound of the KL divergence, equal to it when k is the vocabulary. Statistics are not made here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
LOGITS = 1 << 24  # looked at together: a small model's texts by the dozen, a large vocabulary's one by one
CPU_LOGITS = 1 << 21  # the same on a CPU, whose allocator maps larger tensors anew each time


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
    for chunk in _chunks(decoder, texts, progress):
        top = chunk.logits.topk(k, dim=-1).indices
        log_p, log_rest = _buckets(chunk.logits, top)
        nll = _losses(chunk, log_p, log_rest, top)
        chunk.require_finite(nll)
        rows.append([_array(part) for part in (top.int(), log_p.float(), log_rest.float(), nll.float())])
        sure = chunk.by_text(log_p[:, 0].exp())
        for text, losses, confidence in zip(chunk.texts, chunk.by_text(nll), sure, strict=True):
            problems.append(baseline_problem(text, len(losses), float(losses.sum()), confidence.tolist()))
    ids, log_ps, rests, nlls = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    reference = Reference(digest=digest_of(texts), ids=ids, log_p=log_ps, log_rest=rests, nll=nlls)
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
    import numpy as np

    start, problems = 0, []
    for chunk in _chunks(decoder, texts, progress, tail):
        part = slice(start, start + len(chunk.following))
        start = part.stop
        nll, divergence, same = _against(chunk, reference, part)
        chunk.require_finite(nll, divergence)
        own = zip(*map(chunk.by_text, (nll, divergence, same)), strict=True)
        before = np.split(reference.nll[part], np.cumsum(chunk.counts)[:-1])
        for text, baseline, (losses, kl, alike) in zip(chunk.texts, before, own, strict=True):
            problems.append(
                ProblemDistance(
                    task_id=text.name,
                    tokens=len(losses),
                    prompt_tokens=text.prompt_tokens,
                    nll=float(losses.sum()),
                    baseline_nll=float(baseline.sum(dtype="float64")),
                    kl=tuple(float(f"{value:.{KL_DIGITS - 1}e}") for value in kl.tolist()),
                    same_top=int(alike.sum()),
                )
            )
    return Distance(text=title, top_k=reference.top_k, problems=tuple(problems))


def _against(
    chunk: "Chunk", reference: Reference, part: slice
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Losses and divergences in nats, and whether the most likely token is the baseline's; [N] each."""
    import torch

    def placed(values: "NDArray[Any]") -> "torch.Tensor":
        return torch.from_numpy(values[part]).to(chunk.logits.device)

    ids, log_p = placed(reference.ids).long(), placed(reference.log_p).double()
    log_q, log_q_rest = _buckets(chunk.logits, ids, log_p != -torch.inf)
    nll = _losses(chunk, log_q, log_q_rest, ids)
    divergence = divergences(log_p, placed(reference.log_rest).double(), log_q, log_q_rest)
    same = chunk.logits.gather(-1, ids[:, :1])[:, 0] == chunk.logits.max(dim=-1).values
    return nll, divergence, same


def divergences(
    log_p: "torch.Tensor", log_p_rest: "torch.Tensor", log_q: "torch.Tensor", log_q_rest: "torch.Tensor"
) -> "torch.Tensor":
    """KL(p || q) of each token over k + 1 buckets, nats, float64: [N, k] and [N] each -> [N], not below 0."""
    import torch

    p = torch.cat([log_p, log_p_rest[:, None]], dim=-1).log_softmax(dim=-1)
    q = torch.cat([log_q, log_q_rest[:, None]], dim=-1).log_softmax(dim=-1)
    terms = torch.where(p == -torch.inf, 0.0, p.exp() * (p - q))  # an empty bucket adds nothing, a NaN stays
    return terms.sum(dim=-1).clamp(min=0.0)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Texts whose predictions are looked at together: N predicted tokens, one text after another."""

    texts: list[ScoredText]
    logits: "torch.Tensor"  # [N, vocabulary]
    following: "torch.Tensor"  # int64 [N], the tokens that follow

    @property
    def counts(self) -> list[int]:
        """Predicted tokens of each text."""
        return [len(text.token_ids) - 1 for text in self.texts]

    def by_text(self, values: "torch.Tensor") -> "tuple[torch.Tensor, ...]":
        """What there is of each token [N, ...], text by text, on the host."""
        import torch

        return torch.split(values.cpu(), self.counts)

    def check_logits(self) -> None:
        """NotFiniteError that names the text in which a token has no prediction."""
        import torch

        from quantbench.weights.finite import check_logits

        try:
            check_logits(self.logits, "")
        except NotFiniteError:
            for text, logits in zip(self.texts, torch.split(self.logits, self.counts), strict=True):
                check_logits(logits, f"in the text '{text.name}'")

    def require_finite(self, *figures: "torch.Tensor") -> None:
        """NotFiniteError that names the text in which a loss or a divergence is NaN or infinite."""
        from quantbench.weights.finite import is_finite

        for figure in figures:
            if is_finite(figure):
                continue
            for text, values in zip(self.texts, self.by_text(figure), strict=True):
                if not is_finite(values):
                    raise NotFiniteError(f"the losses in the text '{text.name}' are")


def _chunks(
    decoder: Decoder,
    texts: Sequence[ScoredText],
    progress: Callable[[str, int, int], None],
    tail: int = 0,
) -> Iterator[Chunk]:
    """The texts in their order with their logits, as many together as have LOGITS or CPU_LOGITS of them.

    A decoder may hand out parts of one large tensor: logits that wait for others are copied out of it.
    """
    sequences = [(*text.token_ids, *text.token_ids[:tail]) for text in texts]
    scores = decoder.score(sequences, [text.prompt_tokens for text in texts])
    progress(STAGE, 0, len(texts))
    most = CPU_LOGITS if decoder.device == "cpu" else LOGITS
    waiting: list[tuple[ScoredText, torch.Tensor]] = []
    for number, (text, logits) in enumerate(zip(texts, scores, strict=True), start=1):
        waiting.append((text, logits[: len(text.token_ids) - 1]))
        if number == len(texts) or sum(part.numel() for _, part in waiting) >= most:
            yield _chunk(waiting)
            progress(STAGE, number, len(texts))
            waiting = []
        else:
            waiting[-1] = text, waiting[-1][1].clone()
        del logits


def _chunk(waiting: "list[tuple[ScoredText, torch.Tensor]]") -> Chunk:
    import torch

    texts, parts = [text for text, _ in waiting], [part for _, part in waiting]
    logits = parts[0] if len(parts) == 1 else torch.cat(parts)
    following = [token for text in texts for token in text.token_ids[1:]]
    chunk = Chunk(texts, logits, torch.tensor(following, device=logits.device))
    chunk.check_logits()
    return chunk


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


def _losses(
    chunk: Chunk, log_p: "torch.Tensor", log_rest: "torch.Tensor", ids: "torch.Tensor"
) -> "torch.Tensor":
    """Negative log-likelihood of each following token, nats, float64 [N]."""
    logits, following = chunk.logits, chunk.following
    total = logits.gather(-1, ids[:, :1])[:, 0].double() - log_p[:, 0]
    return total - logits.gather(-1, following[:, None])[:, 0].double()


def _array(tensor: "torch.Tensor") -> "NDArray[np.float32]":
    array: NDArray[np.float32] = tensor.cpu().numpy()
    return array
