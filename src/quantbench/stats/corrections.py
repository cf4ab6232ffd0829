"""p-values adjusted for being several, so that the chance of any false claim among them stays small."""

from collections.abc import Sequence
from functools import cache


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several, in the given order (Holm 1979, Scand. J. Statistics 6:65)."""
    return step_down(p_values, [len(p_values) - rank for rank in range(len(p_values))])


def shaffer(p_values: Sequence[float], groups: Sequence[int]) -> list[float]:
    """Holm's correction where the p-values are those of all pairs within several groups of methods.

    `groups` holds the number of methods of each group: a group of k has k (k - 1) / 2 pairs, or fewer where
    some could not be tested. If one pair of three differs, at most one other pair can be equal: what cannot
    all be true together is not corrected for (Shaffer 1986, JASA 81:826, procedure S1). Never larger than
    Holm's, and the same for the smallest p-value when all pairs are there.
    """
    possible = 1
    for methods in groups:
        possible = _sums(possible, _equal_pairs(methods))
    count = len(p_values)
    factors = []
    for rank in range(count):
        mask = (1 << (count - rank + 1)) - 1  # so many hypotheses are left
        factors.append(max(1, (possible & mask).bit_length() - 1))
    return step_down(p_values, factors)


def step_down(p_values: Sequence[float], factors: Sequence[int]) -> list[float]:
    """The smallest p-value times the first factor, and so on; an adjusted value never falls again."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for factor, index in zip(factors, order, strict=True):
        running = max(running, min(1.0, factor * p_values[index]))
        adjusted[index] = running
    return adjusted


@cache
def _equal_pairs(methods: int) -> int:
    """Bit n is set when exactly n pairs of so many methods can be equal: methods fall into classes."""
    if methods < 2:
        return 1
    found = 0
    for size in range(1, methods + 1):
        found |= _equal_pairs(methods - size) << (size * (size - 1) // 2)
    return found


def _sums(one: int, other: int) -> int:
    """The set of all sums of a number of one set and a number of the other, as bits."""
    found = 0
    for bit in range(other.bit_length()):
        if other >> bit & 1:
            found |= one << bit
    return found
