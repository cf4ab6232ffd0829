"""Bytes are shared out so that what is lost is least, and no more of them than there are."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from quantbench.methods.budget import Choice, hull, share_out

SIZES = st.integers(1, 60)
LOSSES = st.floats(0, 8, allow_nan=False)
CHOICES = st.lists(st.lists(st.builds(Choice, SIZES, LOSSES), min_size=1, max_size=4), min_size=1, max_size=4)
Model = list[list[Choice]]


def shared(of: Model, budget: int) -> list[Choice]:
    named = {str(number): choices for number, choices in enumerate(of)}
    found = share_out(named, budget)
    return [choices[found[name]] for name, choices in named.items()]


def totals(choices: list[Choice]) -> tuple[int, float]:
    return sum(c.nbytes for c in choices), sum(c.loss for c in choices)


def least(of: Model) -> int:
    return sum(min(choice.nbytes for choice in choices) for choices in of)


@given(CHOICES, st.integers(0, 200))
def test_the_budget_is_kept(of: Model, more: int) -> None:
    budget = least(of) + more
    assert totals(shared(of, budget))[0] <= budget


@given(CHOICES, st.integers(0, 200))
def test_no_single_change_that_fits_loses_less(of: Model, more: int) -> None:
    budget = least(of) + more
    found = shared(of, budget)
    left = budget - totals(found)[0]
    for held, choices in zip(found, of, strict=True):
        assert all(c.nbytes - held.nbytes > left or c.loss >= held.loss for c in choices)


@given(CHOICES)
def test_at_every_breakpoint_of_the_multiplier_it_is_the_optimum(of: Model) -> None:
    for multiplier in (0.01, 0.1, 0.5):
        best = [min(c, key=lambda one: one.loss + multiplier * one.nbytes) for c in of]
        budget = totals(best)[0]
        optimum = min(loss for size, loss in map(totals, map(list, product(*of))) if size <= budget)
        assert totals(shared(of, budget))[1] <= optimum + 1e-9


@given(CHOICES, st.integers(0, 60), st.integers(0, 60))
def test_it_is_never_worse_than_one_step_from_the_optimum(of: Model, more: int, extra: int) -> None:
    budget = least(of) + more
    optimum = min(loss for size, loss in map(totals, map(list, product(*of))) if size <= budget)
    steps = [
        choices[a].loss - choices[b].loss for choices in of for a in hull(choices) for b in hull(choices)
    ]
    assert totals(shared(of, budget))[1] <= optimum + max(steps, default=0) + 1e-9


def test_bytes_go_where_a_byte_saves_most() -> None:
    of = [[Choice(10, 4.0), Choice(20, 0.0)], [Choice(10, 1.0), Choice(20, 0.0)]]
    assert totals(shared(of, 30)) == (30, 1.0)
