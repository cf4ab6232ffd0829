"""The baseline's predictions, kept small in the results folder for the methods that come after it.

Of each token the most likely ones are kept, in order, until no more than DROPPED of the probability lies
behind them; all others go into one bucket, which can only make a divergence smaller. Log-probabilities have
16 bits: steps of 2^-11, so a probability is right to 2.4e-4 of itself, and the divergence of the baseline
from what was kept of it is below 3e-8.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.store import make_folder, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DROPPED = 1e-6  # the most probability that the bucket of all other tokens takes up on its account
STEPS = 1 << 11  # of a log-probability, per nat
NOT_KEPT = 0xFFFF  # in place of a log-probability
MOST_KEPT = 1 << 12  # columns: a damaged number of them must not take all memory


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredText:
    """One problem's tokens; every token but the first is predicted from those before it."""

    name: str
    token_ids: tuple[int, ...]
    prompt_tokens: int = 0  # the first of them, computed as a prompt; the others as an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The baseline's predictions, N = all predicted tokens of all texts, one text after another."""

    digest: str  # of the texts
    ids: "NDArray[np.int32]"  # [N, k], most likely first; the first again where no more are kept
    log_p: "NDArray[np.float32]"  # [N, k], minus infinity where no more are kept
    log_rest: "NDArray[np.float32]"  # [N], of all other tokens together
    nll: "NDArray[np.float32]"  # [N], of the token that follows

    @property
    def top_k(self) -> int:
        return int(self.ids.shape[1])


class ReferenceMissing(Exception):
    """The baseline's predictions cannot be used; the message is a sentence that says why."""


def digest_of(texts: Sequence[ScoredText]) -> str:
    """sha256 over names, tokens and where prompts end: which predictions belong to which texts."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{text.name} {text.prompt_tokens} {list(text.token_ids)}\n".encode())
    return digest.hexdigest()


def save_reference(path: Path, reference: Reference) -> None:
    """Write the baseline's predictions in one step; StoreError when the disk refuses."""
    import numpy as np

    kept, log_rest = _kept(reference)
    ids = reference.ids[kept]
    steps = np.rint(-reference.log_p[kept] * STEPS).clip(0, NOT_KEPT - 1)
    buffer = io.BytesIO()
    np.savez(  # uncompressed: compressing takes a second and saves little of what is kept
        buffer,
        digest=np.array(reference.digest),
        width=np.array(reference.top_k),
        counts=kept.sum(axis=1, dtype=np.uint32),
        ids=ids.astype(np.uint16 if ids.max(initial=0) < 1 << 16 else np.uint32),
        steps=steps.astype(np.uint16),
        log_rest=log_rest,
        nll=reference.nll,
    )
    make_folder(path.parent)
    write_atomically(path, buffer.getvalue())


def _kept(reference: Reference) -> "tuple[NDArray[np.bool_], NDArray[np.float32]]":
    """Which tokens are kept [N, k], the most likely one always, and the log-probability of all others [N]."""
    import numpy as np

    p, rest = np.exp(reference.log_p.astype(np.float64)), np.exp(reference.log_rest.astype(np.float64))
    behind = np.cumsum(p[:, ::-1], axis=1)[:, ::-1] - p  # of the kept-so-far tokens' followers among k
    kept = np.ones(p.shape, dtype=bool)
    kept[:, 1:] = behind[:, :-1] > DROPPED
    with np.errstate(divide="ignore"):
        return kept, np.log(rest + np.where(kept, 0.0, p).sum(axis=1)).astype(np.float32)


def load_reference(path: Path, texts: Sequence[ScoredText]) -> Reference:
    """The baseline's predictions for exactly these texts; ReferenceMissing says why there are none."""
    reference = _read_reference(path)
    if reference.digest != digest_of(texts):
        raise ReferenceMissing("the baseline's predictions are of other texts or another tokenizer")
    if not _whole(reference, sum(len(text.token_ids) - 1 for text in texts)):
        raise ReferenceMissing(
            "the baseline's predictions are damaged: they are not finite numbers for every token"
        )
    return reference


def is_readable(path: Path) -> bool:
    """Whether a file holds predictions; of which texts is not asked."""
    try:
        _read_reference(path)
    except ReferenceMissing:
        return False
    return True


def _read_reference(path: Path) -> Reference:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as data:
            steps, ids = _columns(data)
            kept = steps != NOT_KEPT
            return Reference(
                digest=str(data["digest"]),
                ids=np.where(kept, ids, ids[:, :1]),
                log_p=np.where(kept, -(steps / np.float32(STEPS)), -np.inf).astype(np.float32),
                log_rest=data["log_rest"],
                nll=data["nll"],
            )
    except FileNotFoundError:
        raise ReferenceMissing(
            "the baseline's predictions are not in the results folder, so the distance from it is not known; "
            "the same command, run again, completes it"
        ) from None
    except Exception as error:  # a damaged file fails in numpy, zipfile, zlib or struct, each in its own way
        raise ReferenceMissing(
            f"the baseline's predictions cannot be read ({error}), so the distance from it is not known"
        ) from error


def _columns(data: "Mapping[str, NDArray[Any]]") -> "tuple[NDArray[np.uint16], NDArray[np.int32]]":
    """Steps and ids [N, k] of what was kept; files of older versions hold them so."""
    import numpy as np

    if "counts" not in data:
        return data["steps"], data["ids"].astype(np.int32)
    counts, width = data["counts"].astype(np.int64), int(data["width"])
    if width > MOST_KEPT:
        raise ValueError(f"{width} columns are not what was kept")
    kept = np.arange(width) < counts[:, None]
    steps, ids = np.full(kept.shape, NOT_KEPT, dtype=np.uint16), np.zeros(kept.shape, dtype=np.int32)
    steps[kept], ids[kept] = data["steps"], data["ids"]
    return steps, ids


def _whole(reference: Reference, tokens: int) -> bool:
    """Whether there is a finite prediction of every token."""
    import numpy as np

    shapes = [part.shape for part in (reference.log_p, reference.log_rest, reference.nll)]
    fits = reference.ids.ndim == 2 and shapes == [(tokens, reference.ids.shape[1]), (tokens,), (tokens,)]
    parts = (reference.log_p, reference.log_rest)  # the rest may be empty: minus infinity
    return bool(
        fits
        and len(reference.ids) == tokens
        and np.isfinite(reference.nll).all()
        and not any(np.isnan(part).any() or np.isposinf(part).any() for part in parts)
    )
