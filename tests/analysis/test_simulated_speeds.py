"""What reports of simulated runs claim: seldom what is not there, mostly what is.

The short form runs some hundred reports, the long form (`-m long`) every case of the promise.
"""

from collections.abc import Sequence
from math import ceil

import numpy as np
import pytest

from quantbench.analysis.compare import compare_results
from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.metrics import RESPONSE, SPEED
from quantbench.analysis.comparison.rows import Rows, read_results
from quantbench.analysis.comparison.speed_changes import speed_changes
from quantbench.analysis.findings.observations import observe
from quantbench.analysis.recommend import Requirements, choose
from quantbench.records import Record
from tests.analysis.many_runs import (
    Runs,
    false_share,
    found_share,
    gate_p_values,
    gate_share,
    p_values,
    pairs,
)
from tests.analysis.simulated_runs import METHODS, World, simulate

DRIFTS = (0.005, 0.015, 0.03, 0.08)


def reports(world: World, count: int, seed: int = 1) -> list[Rows]:
    draw = np.random.default_rng(seed)
    return [read_results(simulate(world, draw), "fp16") for _ in range(count)]


def claims(results: Rows) -> bool:
    """Whether any two methods are told to differ in speed or response time."""
    speed = [c for pair, c in results.comparisons.found.items() if pair.metric.startswith(SPEED.key)]
    response = [c for pair, c in results.comparisons.found.items() if pair.metric == RESPONSE.key]
    return any(found.verdict is Verdict.SIGNIFICANT for found in (*speed, *response))


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("speeds", [[1.0, 1.05], [1.0, 1.0, 0.9], [1.0] * 5])
def test_many_runs_are_judged_as_the_product_judges_them(speeds: list[float], rounds: int) -> None:
    """The same times through `read_results` and through numpy: the same p-values."""
    draw = np.random.default_rng(5)
    records = [simulate(World(speeds=speeds, drift=drift, rounds=rounds), draw) for drift in DRIFTS]
    found = [read_results(run, "fp16").comparisons for run in records]
    p = p_values(logs_of(records))
    for column, (one, other) in enumerate(pairs(len(speeds))):
        own = [c.get(SPEED.key, METHODS[one], METHODS[other]).p for c in found]
        assert p[:, column] == pytest.approx(own, rel=1e-6)


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("methods", [2, 3, 10])
def test_identical_methods_are_seldom_told_apart(methods: int, drift: float) -> None:
    world = World(speeds=[1.0] * methods, drift=drift)
    assert false_share(world, count=1000) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("rounds", range(1, 7))
@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("methods", [2, 3, 10])
def test_identical_methods_are_seldom_told_apart_in_any_case(methods: int, drift: float, rounds: int) -> None:
    assert false_share(World(speeds=[1.0] * methods, drift=drift, rounds=rounds), count=10_000) <= 0.05


@pytest.mark.parametrize("methods", [2, 3, 10])
@pytest.mark.parametrize(("speed", "rounds"), [(1.2, 1), (0.8, 1), (1.06, 4), (0.94, 4)])
def test_a_fifth_in_one_round_and_six_per_cent_in_four_are_mostly_found(
    methods: int, speed: float, rounds: int
) -> None:
    world = World(speeds=[1.0] * (methods - 1) + [speed], drift=0.015, rounds=rounds)
    assert found_share(world, count=1000) >= 0.8


@pytest.mark.parametrize(("methods", "count"), [(2, 40), (3, 30), (10, 5)])
def test_whole_reports_of_identical_methods_claim_seldom(methods: int, count: int) -> None:
    """From records to verdicts, response times and all."""
    found = [claims(results) for results in reports(World(speeds=[1.0] * methods, drift=0.03), count)]
    assert sum(found) <= max(1, 0.05 * count)


def test_thirty_per_cent_in_each_of_three_passes_are_found() -> None:
    """Three interleaved passes of two methods, one 30 % faster in each: no overlap is needed, pairs are."""
    draw = np.random.default_rng(3)
    records = [r for r in simulate(World(speeds=[1.0, 1.3], drift=0.01, rounds=2), draw) if r.role != "floor"]
    three = [r for r in records if r.trial.round < 3]
    found = read_results(three, "fp16").comparisons.get(SPEED.key, "method1", "fp16")
    assert found.verdict is Verdict.SIGNIFICANT


def test_undecided_speeds_have_no_winner_and_no_equal() -> None:
    """10 % apart at 3 % drift, one round: neither report nor recommend calls that faster or the same."""
    told = 0
    for results in reports(World(speeds=[1.0, 1.1], drift=0.03), 20):
        (statement,) = (s for s in observe(results) if s.title == "Inference speed")
        reason = choose(results, Requirements()).reason
        if results.comparisons.get(SPEED.key, "fp16", "method1").verdict is Verdict.UNDECIDED:
            told += 1
            assert statement.choice is None and "is not decided" in statement.text
            assert "not decided against" in reason and "fastest" not in reason
    assert told >= 10


def logs_of(records: Sequence[Sequence[Record]]) -> Runs:
    """The times of runs with the same processes, as `many_runs` takes them."""
    logs = np.log([[record.speed[0].decode_s for record in run] for run in records])
    method = np.array([METHODS.index(record.method) for record in records[0]])
    return Runs(logs, method, np.array([record.trial.round for record in records[0]]))


@pytest.mark.parametrize("rounds", [1, 2])
def test_many_pairs_of_runs_are_judged_as_the_gate_judges_them(rounds: int) -> None:
    draw = np.random.default_rng(6)
    worlds = [World(speeds=[1.0, 1.1, 0.9], drift=drift, rounds=rounds) for drift in DRIFTS]
    old, new = ([simulate(world, draw) for world in worlds] for _ in range(2))
    p, _ = gate_p_values(logs_of(old), logs_of(new))
    for own, one, other in zip(p, old, new, strict=True):
        both = zip(read_results(one, "fp16").rows, read_results(other, "fp16").rows, strict=True)
        least = min(found.adjusted_p or 1.0 for _, found in speed_changes(list(both), 0.05))
        assert min(1.0, 2 * own.size * own.min()) == pytest.approx(least, rel=1e-6)


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("methods", [2, 3, 10])
def test_two_runs_of_the_same_code_seldom_fail_the_gate(methods: int, drift: float) -> None:
    assert gate_share(World(speeds=[1.0] * methods, drift=drift), count=1000) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("rounds", range(1, 7))
@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("methods", [2, 3, 10])
def test_two_runs_of_the_same_code_seldom_fail_the_gate_in_any_case(
    methods: int, drift: float, rounds: int
) -> None:
    assert gate_share(World(speeds=[1.0] * methods, drift=drift, rounds=rounds), count=10_000) <= 0.05


def test_whole_runs_of_the_same_code_pass_the_gate() -> None:
    runs = reports(World(speeds=[1.0] * 3, drift=0.03), 12)
    assert not any(compare_results(old, new).failures for old, new in zip(runs[::2], runs[1::2], strict=True))


def test_rounds_that_are_asked_for_mostly_decide() -> None:
    """Where a report asks for so many rounds, a run of that many finds the difference more often than not."""
    world = World(speeds=[1.0, 1.1], drift=0.03)
    asked = [r.comparisons.get(SPEED.key, "fp16", "method1").rounds_needed for r in reports(world, 60)]
    typical = sorted(rounds for rounds in asked if rounds is not None)
    middle = typical[ceil(len(typical) / 2)]
    assert found_share_at(world.speeds, world.drift, middle) >= 0.5


def found_share_at(speeds: Sequence[float], drift: float, rounds: int) -> float:
    found = reports(World(speeds=speeds, drift=drift, rounds=rounds), 40, seed=2)
    return sum(claims(results) for results in found) / len(found)


def test_a_pair_counts_only_the_passes_that_both_were_in() -> None:
    """A run that was stopped in its second pass does not lend that pass to those that never began it."""
    records = simulate(World(speeds=[1.0, 2.0, 4.0], drift=0.005, rounds=1), np.random.default_rng(3))
    stopped = [r for r in records if not (r.trial.round and r.trial.method == METHODS[1])]
    assert len(stopped) == len(records) - 1
    found = read_results(stopped, "fp16").comparisons
    assert found.get(SPEED.key, "fp16", METHODS[2]).why.startswith("paired over 2 passes, p")
    lent = found.get(SPEED.key, "fp16", METHODS[1]).why
    assert lent.startswith("paired over 1 pass, with the noise that other rows' passes show")
