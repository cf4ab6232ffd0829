"""One task asked in several ways: how far the protocol moves a score, and which verdicts survive each.

The verdicts here are a family of their own: Holm's correction over all methods and protocols of a task,
beside that of the report's comparisons, which are those of the first protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quantbench.analysis.comparison.paired import Change, PairedScore, pair_scores
from quantbench.analysis.comparison.pairing import can_be_paired
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.figures.scores import Score, read_score
from quantbench.analysis.formatting import counted, signed
from quantbench.stats import holm
from quantbench.units import listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One protocol: scores by method, and each method against the baseline under the same protocol."""

    protocol: str
    scores: Mapping[str, Score]
    pairs: Mapping[str, PairedScore]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSpread:
    """One task under several protocols, the one that decides first."""

    task: str
    ways: tuple[Way, ...]
    statements: tuple[str, ...]


def protocol_spreads(results: Rows) -> tuple[ProtocolSpread, ...]:
    """Every task that was asked in several ways."""
    return tuple(
        ProtocolSpread(task=task, ways=ways, statements=_statements(ways, results))
        for task in results.tasks
        if len(ways := _ways(task, results)) > 1
    )


def _ways(task: str, results: Rows) -> tuple[Way, ...]:
    scores: dict[str, dict[str, Score]] = {}
    for row in results.rows:
        for score in scores_of(row, task):
            scores.setdefault(score.result.protocol, {})[row.label] = score
    baseline = results.baseline
    pairs = {
        (protocol, label): pair_scores(label, own, reference)
        for protocol, by_method in scores.items()
        for label, own in by_method.items()
        if baseline is not None
        and label != baseline.label
        and (reference := by_method.get(baseline.label)) is not None
        and can_be_paired(own, reference)
    }
    adjusted = holm([pair.p for pair in pairs.values()])
    pairs = {key: replace(pair, adjusted_p=p) for (key, pair), p in zip(pairs.items(), adjusted, strict=True)}
    return tuple(
        Way(
            protocol=protocol,
            scores=by_method,
            pairs={label: pair for (name, label), pair in pairs.items() if name == protocol},
        )
        for protocol, by_method in scores.items()
    )


def scores_of(row: Row, task: str) -> list[Score]:
    """A row's scores on a task: under the first protocol, then under the others."""
    others = [read_score(result) for result in row.record.other_protocols if result.task == task]
    return [score for score in (row.score(task), *others) if score is not None]


def _statements(ways: Sequence[Way], results: Rows) -> tuple[str, ...]:
    baseline = results.baseline
    found = {
        way.protocol: way.scores[baseline.label] for way in ways if baseline and baseline.label in way.scores
    }
    if baseline is None or len(found) < 2:
        return ()
    low, high = (choose(found, key=lambda name: found[name].pass_at_1) for choose in (min, max))
    spread = 100 * (found[high].pass_at_1 - found[low].pass_at_1)
    text = (
        f"The protocol moves {baseline.label} by {spread:.1f} points: pass@1 {found[low].pass_at_1:.3f} "
        f"under {low}, {found[high].pass_at_1:.3f} under {high}."
    )
    pairs = [(way.protocol, pair) for way in ways for pair in way.pairs.values()]
    if pairs:
        protocol, widest = max(pairs, key=lambda entry: abs(entry[1].difference))
        text += (
            f" The largest difference of a method under one protocol is {signed(100 * widest.difference)} "
            f"points ({widest.label} under {protocol})."
        )
    methods = dict.fromkeys(pair.label for _, pair in pairs)
    return (text, *(_survival(method, ways, baseline.label) for method in methods))


def _survival(method: str, ways: Sequence[Way], baseline: str) -> str:
    """What holds for a method under each protocol, and what depends on it."""
    under: dict[Change, list[str]] = {}
    for way in ways:
        if method in way.pairs:
            under.setdefault(way.pairs[method].change, []).append(way.protocol)
    count = sum(map(len, under.values()))
    if len(under) == 1:
        (change,) = under
        how = f"is {change} than {baseline}" if change is not Change.UNDECIDED else f"and {baseline} {change}"
        return f"{method} {how} under {'each of ' if count > 1 else ''}{counted(count, 'protocol')}."
    parts = [f"{change} under {listed(names)}" for change, names in under.items()]
    return f"The verdict on {method} against {baseline} depends on the protocol: {'; '.join(parts)}."
