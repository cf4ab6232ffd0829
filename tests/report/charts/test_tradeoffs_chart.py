"""The interactive chart's dictionary."""

import json

from quantbench.analysis import analyse
from quantbench.report.charts.encoding import colour_of, symbol_of
from quantbench.report.charts.tradeoffs_chart import tradeoff_figure
from tests.report_records import failed, record, reference_records, speed_point, task_result


def test_each_method_is_a_point_in_each_panel() -> None:
    figure = tradeoff_figure(analyse(reference_records(), "fp16"))
    points = [(trace["yaxis"], trace["name"]) for trace in figure["data"]]
    names = ["fp16 (baseline)", "int8", "int4"]
    assert points == [("y", name) for name in names] + [("y2", name) for name in names]


def test_the_axes_hold_the_figures_in_their_units() -> None:
    figure = tradeoff_figure(analyse(reference_records(), "fp16"))
    int4 = figure["data"][2]
    assert int4["x"] == [0.25]
    assert abs(int4["y"][0] - 28.0) < 1e-9
    assert figure["layout"]["xaxis"]["title"]["text"] == "Model size (GB)"


def test_a_score_has_its_interval_as_arms() -> None:
    arms = tradeoff_figure(analyse(reference_records(), "fp16"))["data"][3]["error_y"]
    assert abs(arms["array"][0] - (0.42318 - 57 / 164)) < 1e-4
    assert abs(arms["arrayminus"][0] - (57 / 164 - 0.27892)) < 1e-4


def test_the_buttons_move_every_point_to_the_other_cost() -> None:
    figure = tradeoff_figure(analyse(reference_records(), "fp16"))
    view, axes = figure["layout"]["updatemenus"][0]["buttons"][1]["args"]
    assert view["x"] == [[1.2], [0.8], [0.5]] * 2
    assert axes["xaxis2.title.text"] == "GPU memory (GB)"


def test_a_method_without_a_figure_has_a_point_nowhere() -> None:
    records = reference_records()
    records[1] = records[1].model_copy(update={"size": None})
    assert tradeoff_figure(analyse(records, "fp16"))["data"][1]["x"] == [None]


def test_names_cannot_become_markup() -> None:
    memory = reference_records()[0].memory
    records = [record(name, speed=(speed_point(1.0),), memory=memory) for name in ("<b>", "fp16")]
    text = json.dumps(tradeoff_figure(analyse(records, "fp16")))
    assert "&lt;b&gt;" in text
    assert '"<b>' not in text.replace("<b>&lt;", "").replace("<b>fp16", "")


def test_one_method_alone_draws_nothing() -> None:
    assert tradeoff_figure(analyse(reference_records()[:1], "fp16"))["data"] == []


def test_a_method_has_the_colour_and_the_shape_that_it_has_on_the_page() -> None:
    traces = tradeoff_figure(analyse(reference_records(), "fp16"))["data"][:3]
    shown = [(trace["marker"]["color"], trace["marker"]["symbol"]) for trace in traces]
    assert shown == [(colour_of(place), symbol_of(place)) for place in range(3)]


def test_without_a_cost_there_is_nothing_to_draw() -> None:
    records = [record("fp16", tasks=(task_result(range(3)),))]
    assert tradeoff_figure(analyse(records, "fp16"))["data"] == []


def test_failures_alone_draw_nothing() -> None:
    records = [failed(r) for r in reference_records()]
    assert tradeoff_figure(analyse(records, "fp16"))["data"] == []
