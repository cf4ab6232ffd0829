"""How far each method's predictions lie from the baseline's, and the perplexity of texts."""

from collections.abc import Callable, Iterator

from quantbench.analysis import FEWEST_FOR_TAIL, SURE, Analysis, MethodDistance, TextPerplexity
from quantbench.analysis.formatting import MISSING, significant
from quantbench.report.blocks import Column, Section, Table, Text
from quantbench.stats import Estimate

LEAST = 1e-7  # nats: smaller divergences are rounding
SPLIT = ("KL where sure", "KL where unsure")


def distance_sections(analysis: Analysis) -> Iterator[Section]:
    """Left out where no method was compared token by token."""
    rows = analysis.distances
    if not any(row.compared for row in rows):
        return
    blocks = (distance_table(analysis), Text(_legend(analysis)))
    title = f"Distance from {analysis.results.baseline_name}"
    yield Section(key="distance", title=title, blocks=blocks)


def distance_table(analysis: Analysis) -> Table:
    """A row a method, the baseline with its perplexity alone, the noise floor last."""
    split = any(row.sure_share is not None for row in analysis.distances)
    titles = (
        "Mean KL (nats)",
        "Median KL",
        "90 % KL",
        "99 % KL",
        *(SPLIT if split else ()),
        "Same top token (%)",
        "Perplexity",
        "Perplexity ratio",
    )
    columns = (Column("Method", number=False), *(Column(title) for title in titles))
    rows = tuple(_distance_cells(row, split) for row in analysis.distances)
    return Table((*columns, Column("Verdict", number=False)), rows)


def _distance_cells(row: MethodDistance, with_split: bool) -> tuple[str, ...]:
    split = (_divergence(row.sure_kl), _divergence(row.unsure_kl)) if with_split else ()
    return (
        row.label,
        _divergence(row.mean_kl),
        _divergence(row.median_kl),
        _divergence(row.p90_kl),
        _divergence(row.p99_kl),
        *split,
        _figure(row.same_top, 100, 4),
        _figure(row.perplexity),
        _figure(row.perplexity_ratio, 1, 5),
        row.verdict,
    )


def _divergence(estimate: Estimate | None) -> str:
    """`0.00123 [0.0011, 0.0014]`; scientific below a ten-thousandth."""
    if estimate is None:
        return MISSING
    return _with_interval(estimate, _small)


def _small(value: float) -> str:
    if value < LEAST:
        return "< 1e-7"
    return f"{value:.1e}" if value < 1e-4 else significant(value)


def _figure(estimate: Estimate | None, factor: float = 1.0, digits: int = 3) -> str:
    if estimate is None:
        return MISSING
    return _with_interval(estimate, lambda value: significant(value * factor, digits))


def _with_interval(estimate: Estimate, show: Callable[[float], str]) -> str:
    text = show(estimate.value)
    if estimate.interval is None:
        return text
    low, high = show(estimate.interval.low), show(estimate.interval.high)
    return text if low == high == text else f"{text} [{low}, {high}]"


def _legend(analysis: Analysis) -> str:
    first = next(row for row in analysis.distances if row.compared)
    text = (
        f"Teacher-forced over {first.tokens:,} tokens: {first.text}. KL: divergence of the method's "
        f"next-token distribution from the baseline's, in nats a token over the baseline's {first.top_k} "
        "most likely tokens and the rest as one bucket: a lower bound of the one over the whole "
        "vocabulary. Same top token: share of tokens at which both prefer the same one. In brackets: 95 % "
        f"intervals with the {first.problems} problems, not the tokens, as what was sampled. "
    )
    if first.p99_kl is None:
        text += f"99 %: not given below {FEWEST_FOR_TAIL} problems, which do not know the tail. "
    if first.sure_share is not None:
        text += (
            f"Sure: the baseline gives its most likely token at least {SURE:g} "
            f"({100 * first.sure_share:.0f} % of the tokens). "
        )
    text += (
        "A distance says how much a method predicts otherwise than the baseline, not whether it is worse; "
        "pass@1 and perplexity, over the same text, say that."
    )
    return f"{text} {analysis.kl_caveat}" if analysis.kl_caveat else text


LEGEND = (
    "The conventions count other tokens with other contexts, so their figures are not to be compared with "
    "each other; each is that of the program whose name it bears, for the same window. Ratio: to the "
    "baseline over the same windows, with a 95 % interval (Student t) over windows."
)


def perplexity_sections(analysis: Analysis) -> Iterator[Section]:
    """Left out where no text was given."""
    found = analysis.perplexities
    if not found:
        return
    texts = dict.fromkeys(entry.measured.text for entry in found)
    table = perplexity_table(found)
    yield Section(
        key="perplexity", title=f"Perplexity of {' and '.join(texts)}", blocks=(table, Text(LEGEND))
    )


def perplexity_table(found: tuple[TextPerplexity, ...]) -> Table:
    """A row a method and convention."""
    texts = ("Method", "Convention")
    numbers = ("Window", "Stride", "Windows", "Perplexity", "Ratio", "95 % interval")
    columns = (*(Column(title, number=False) for title in texts), *map(Column, numbers))
    return Table(columns, tuple(map(_perplexity_cells, found)))


def _perplexity_cells(entry: TextPerplexity) -> tuple[str, ...]:
    measured, ends = entry.measured, entry.interval
    return (
        entry.label,
        measured.convention,
        f"{measured.window}",
        f"{measured.stride}",
        f"{len(measured.nll)}",
        significant(entry.value, 5),
        MISSING if entry.ratio is None else f"{entry.ratio:.4f}",
        MISSING if ends is None else f"{ends.low:.4f} to {ends.high:.4f}",
    )
