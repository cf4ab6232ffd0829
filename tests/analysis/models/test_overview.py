"""Many models in one table: a front over all, and effects that are said only with their certainty."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from quantbench.analysis import ModelRow, Overview, overview_of
from quantbench.analysis.findings.pareto import FrontPlace
from quantbench.analysis.models.effects import MethodEffect, method_effects
from quantbench.analysis.models.figures import LOSS_EFFECT, SPEED_EFFECT, Figure, score_effect
from quantbench.report.overview import write_overview
from quantbench.stats import Interval

SCORE = score_effect("humaneval")
SIZES = [2**27, 2**28, 2**29, 2**30, 2**31, 2**32]


def row(model: str, method: str = "int4", **changes: Any) -> ModelRow:
    values: dict[str, Any] = {
        "model": model,
        "name": model,
        "method": method,
        "machine": "GPU",
        "is_baseline": method == "fp16",
        "parameters": 10**9,
        "weight_bytes": 10**9,
        "memory_bytes": 10**9,
        "speed": Figure(value=100.0, interval=Interval(98, 102)),
        "point": (1, 128),
        "scores": {"humaneval": Figure(value=0.5, interval=Interval(0.42, 0.58))},
    }
    return ModelRow(**(values | changes))


def effect(changes: list[float], metric: str = SCORE, sizes: list[int] = SIZES) -> MethodEffect:
    rows = [
        row(f"m{n}", parameters=size, effects={metric: change})
        for n, (size, change) in enumerate(zip(sizes, changes, strict=True))
    ]
    (found,) = method_effects(rows)
    return found


def test_a_method_that_costs_more_on_small_models_is_said_to() -> None:
    found = effect([-0.20, -0.17, -0.13, -0.10, -0.07, -0.03])
    assert found.depends_on_size and found.sentence.startswith("worse on small models: +3.4 points")


def test_a_larger_loss_on_large_models_is_told_the_other_way() -> None:
    found = effect([0.01, 0.02, 0.04, 0.05, 0.07, 0.08], LOSS_EFFECT)
    assert found.sentence.startswith("worse on large models: x1.0")


def test_a_speed_that_gains_more_on_large_models_is_said_as_a_gain() -> None:
    found = effect([0.1, 0.21, 0.3, 0.39, 0.5, 0.62], SPEED_EFFECT)
    assert found.sentence.startswith("gains more on large models")


def test_scatter_is_no_dependence_and_the_interval_says_what_remains_possible() -> None:
    found = effect([-0.02, -0.05, 0.01, -0.04, 0.0, -0.03])
    assert not found.depends_on_size
    assert found.sentence.startswith("no dependence on size shown; a doubling may change it by")


@pytest.mark.parametrize("count", [2, 3])
def test_few_models_do_not_know(count: int) -> None:
    found = effect([-0.2, -0.1, -0.01][:count], sizes=SIZES[:count])
    assert found.sentence == f"not known: needs 4 models of several sizes, {count} have it"


def test_models_of_one_size_do_not_know() -> None:
    assert effect([-0.2, -0.1, -0.1, 0.0], sizes=[2**30] * 4).sentence.startswith("not known")


def test_slopes_of_several_methods_are_corrected_together() -> None:
    changes = {"int8": [0.0, 0.01, -0.01, 0.0, 0.01, 0.0], "int4": [-0.2, -0.17, -0.13, -0.1, -0.07, -0.03]}
    rows = [
        row(f"m{n}", method, parameters=size, effects={SCORE: values[n]})
        for method, values in changes.items()
        for n, size in enumerate(SIZES)
    ]
    found = {one.method: one for one in method_effects(rows)}
    slope = found["int4"].slope
    assert slope is not None and found["int4"].slope_p == pytest.approx(2 * slope.p)


def test_no_more_than_one_report_in_twenty_claims_a_dependence_that_is_not_there() -> None:
    draw = random.Random(5)
    claimed = 0
    for _ in range(400):
        rows = [
            row(f"m{n}", method, parameters=size, effects={SCORE: draw.gauss(-0.03, 0.03)})
            for method in ("int8", "int4", "nf4")
            for n, size in enumerate(SIZES)
        ]
        claimed += any(one.depends_on_size for one in method_effects(rows))
    assert claimed <= 33


def test_a_row_that_is_worse_in_everything_is_behind() -> None:
    worse = row(
        "b",
        weight_bytes=2 * 10**9,
        speed=Figure(value=50.0, interval=Interval(49, 51)),
        scores={"humaneval": Figure(value=0.4, interval=Interval(0.32, 0.48))},
    )
    places = {one.label: one.place for one in overview_of([row("a"), worse]).front.standings}
    assert places == {"a int4": FrontPlace.FRONT, "b int4": FrontPlace.BEHIND}


def test_a_row_within_both_intervals_is_not_written_off() -> None:
    near = row("b", speed=Figure(value=99.5, interval=Interval(97.5, 101.5)))
    places = {one.label: one.place for one in overview_of([row("a"), near]).front.standings}
    assert places["b int4"] is FrontPlace.NEAR


def test_speeds_of_several_machines_do_not_count_for_the_front() -> None:
    front = overview_of([row("a"), row("b", machine="other")]).front
    assert front.axes == ("model size", "pass@1 of humaneval")
    assert "several machines" in front.left_out[0]


def test_a_task_that_not_every_model_answered_does_not_count_for_the_front() -> None:
    front = overview_of([row("a"), row("b", scores={})]).front
    assert front.axes == ("model size", "inference speed")
    assert front.left_out == ("humaneval does not count for the front: not every model answered it.",)


def test_a_row_without_a_figure_is_not_placed() -> None:
    (_, standing) = overview_of([row("a"), row("b", speed=None)]).front.standings
    assert (standing.place, standing.missing) == (FrontPlace.UNPLACED, ("inference speed",))


@pytest.fixture
def overview() -> Overview:
    return overview_of([row("a|<b>", "fp16"), row("a|<b>", effects={SCORE: -0.1}), row("c", speed=None)])


def test_every_format_has_every_row_and_links_each_models_report(overview: Overview, tmp_path: Path) -> None:
    names = write_overview(overview, folder=tmp_path, formats=("md", "html", "json", "csv"))
    assert names == ("report.md", "report.html", "results.json", "results.csv")
    assert "(models/c/report.html)" in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert 'href="models/c/report.html"' in page and "<b>" not in page.replace("<body>", "")
    assert len(json.loads((tmp_path / "results.json").read_text())["rows"]) == 3
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 4
