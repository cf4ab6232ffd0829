"""Two methods on the same problems: only the problems that exactly one of them solves carry evidence.

Throughout, `b` counts the problems that the method solves and the baseline does not, `c` the reverse.
"""

from math import comb


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p-value of McNemar's test: b and c differ only by chance (a fair coin's sign test).

    1.0 without discordant problems. ValueError for a negative count.
    """
    if b < 0 or c < 0:
        raise ValueError(f"discordant counts cannot be negative: {b}, {c}")
    n = b + c
    tail = sum(comb(n, i) for i in range(min(b, c) + 1))
    return float(min(1.0, 2 * tail / 2**n))
