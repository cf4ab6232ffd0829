"""Figures of benchmarks/quality.py: how far a method lies from the baseline, and its table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from quality_texts import Half, Window
from quantbench.stats.clustered import Estimate, clustered_mean, exponential_of_ratio

CONFIDENT = (0.5, 0.9)  # of the baseline's best token: unsure, in between, sure


@dataclass(slots=True)
class Tokens:
    """Of each prediction of one window, float64 [N]."""

    window: Window
    kl: Tensor
    nll: Tensor
    baseline_nll: Tensor
    confidence: Tensor
    same_top: Tensor


def compare(window: Window, baseline: Tensor, logits: Tensor) -> Tokens:
    """KL(baseline || method) over the vocabulary, nats, and the rest; of logits [tokens, vocabulary]."""
    following = torch.tensor(window.token_ids[1:], device=logits.device)
    p, q = (x[: len(following)].float().log_softmax(-1) for x in (baseline.to(logits.device), logits))
    kl = (p.exp() * (p - q)).double().sum(-1).clamp(min=0)
    nll, baseline_nll = (-x.gather(-1, following[:, None])[:, 0] for x in (q, p))
    best = p.max(-1)
    kept = (kl, nll, baseline_nll, best.values.exp(), best.indices == q.argmax(-1))
    return Tokens(window, *(x.double().cpu() for x in kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Over one half of the windows."""

    tokens: int
    kl: Estimate
    p99: float
    same_top: float
    perplexity: float
    perplexity_ratio: Estimate
    kl_by_kind: dict[str, float]
    kl_by_confidence: dict[str, float]


def figures(scored: Sequence[Tokens], half: Half) -> Figures:
    """All figures of the windows of a half."""
    mine = [one for one in scored if one.window.half is half]
    kl, sure = (torch.cat([getattr(t, name) for t in mine]) for name in ("kl", "confidence"))
    more = [float((t.nll - t.baseline_nll).sum()) for t in mine]
    sizes = [float(len(t.kl)) for t in mine]
    kinds = dict.fromkeys(t.window.kind for t in mine)
    low, high = CONFIDENT
    bands = {
        f"below {low}": sure < low,
        f"to {high}": (sure >= low) & (sure < high),
        "above": sure >= high,
    }
    return Figures(
        tokens=len(kl),
        kl=clustered_mean([t.kl.tolist() for t in mine]),
        p99=float(kl.quantile(0.99)),
        same_top=float(torch.cat([t.same_top for t in mine]).mean()),
        perplexity=float(torch.cat([t.nll for t in mine]).mean().exp()),
        perplexity_ratio=exponential_of_ratio(more, sizes),
        kl_by_kind={k: float(torch.cat([t.kl for t in mine if t.window.kind == k]).mean()) for k in kinds},
        kl_by_confidence={name: float(kl[band].mean()) for name, band in bands.items() if bool(band.any())},
    )


COLUMNS = {
    "method": 26, "bits": 6, "GB": 6, "KL choose": 9, "KL": 8, "95 %": 17, "p99": 6, "same %": 6, "ppl": 7,
    "ratio": 6, "code": 7, "prose": 7, "unsure": 7, "between": 7, "sure": 7, "quant s": 7, "peak GB": 7,
}  # fmt: skip


@dataclass(slots=True)
class Table:
    """Prints a line a method as it is measured, and keeps all of them."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, row: dict[str, Any]) -> None:
        """`row` has a value for each of COLUMNS."""
        if not self.rows:
            print(" ".join(f"{title:>{width}}" for title, width in COLUMNS.items()), flush=True)
        self.rows.append(row)
        print(" ".join(f"{shown(row.get(t)):>{w}}" for t, w in COLUMNS.items()), flush=True)


def shown(value: Any) -> str:
    """A cell; three digits that count."""
    if isinstance(value, float):
        return f"{value:.3f}" if value >= 1 else f"{value:.4f}"
    return "-" if value is None else str(value)


def row_of(scored: Sequence[Tokens]) -> dict[str, Any]:
    """The columns that come from predictions."""
    chosen, told = figures(scored, Half.CHOOSE), figures(scored, Half.REPORT)
    interval = told.kl.interval
    low, middle, high = (*told.kl_by_confidence.values(), None, None, None)[:3]
    kinds = (*told.kl_by_kind.values(), None)
    return {
        "KL choose": chosen.kl.value,
        "KL": told.kl.value,
        "95 %": f"{interval.low:.4f}-{interval.high:.4f}" if interval else "-",
        "p99": told.p99,
        "same %": f"{100 * told.same_top:.1f}",
        "ppl": told.perplexity,
        "ratio": told.perplexity_ratio.value,
        "code": kinds[0],
        "prose": kinds[1],
        "unsure": low,
        "between": middle,
        "sure": high,
        "windows": [[t.window.half, float(t.kl.sum()), len(t.kl)] for t in scored],
    }
