"""What fewer bits in prompts cost and gain, in a sentence a method, from the same decoder run both ways."""

from collections.abc import Iterator
from statistics import median

from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.formatting import counted, ratio, significant
from quantbench.records import PromptEffect
from quantbench.units import show_seconds


def prompt_effects(results: Rows) -> tuple[tuple[str, str], ...]:
    """(method, sentence) of every method whose prompts had fewer bits than its new tokens."""
    return tuple((row.label, text) for row in results.rows for text in _of_row(row))


def _of_row(row: Row) -> Iterator[str]:
    effect = row.record.prompt_effect
    if effect is None:
        return
    parts = [part for part in (_gain(row, effect), _cost(effect)) if part]
    yield (
        f"prompts are multiplied in integers, activations with {effect.bits} bits "
        "(--exact-prompts turns it off)" + "".join(f"; {part}" for part in parts) + "."
    )


def _gain(row: Row, effect: PromptEffect) -> str | None:
    """Nothing is said of times that were taken beside other programs."""
    if row.disturbed or not effect.ttft_s or not effect.exact_ttft_s:
        return None
    own, exact = median(effect.ttft_s), median(effect.exact_ttft_s)
    told = f"a first token after {show_seconds(own)} against {show_seconds(exact)} ({ratio(own, exact)})"
    overlap = max(effect.ttft_s) >= min(effect.exact_ttft_s) and max(effect.exact_ttft_s) >= min(
        effect.ttft_s
    )
    return told + (", whose ranges overlap" if overlap else "")


def _cost(effect: PromptEffect) -> str | None:
    if not effect.kl:
        return None
    mean = sum(effect.kl) / len(effect.kl)
    return (
        f"predictions after a prompt move by a mean KL of {_small(mean)} nats (at most "
        f"{_small(max(effect.kl))} in one of {counted(len(effect.kl), 'problem')}, {effect.tokens:,} tokens)"
    )


def _small(value: float) -> str:
    return f"{value:.1e}" if value < 1e-3 else significant(value, 2)
