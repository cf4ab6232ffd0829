"""Throughput against latency is drawn where it was measured: a picture, and a chart of the page."""

from pathlib import Path

import pytest

from quantbench.analysis import Analysis, Load, analyse
from quantbench.report.charts import LOADS, draw_charts
from quantbench.report.charts.load_curves import draw_load
from quantbench.report.charts.style import to_png
from quantbench.report.formats.page import render_page
from quantbench.report.sections import sections_of
from tests.analysis.figures.test_curves import arrivals, point, record
from tests.browser import browser, find_browser
from tests.report_records import reference_records


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    sweep = (point(1, 0.1, 1.0), point(4, 0.3, 1.7), point(16, 0.9, 4.0))
    loads = (arrivals(1.0), arrivals(2.0))
    own = record("native", *sweep)
    return analyse([own, record("vllm", *sweep, served=True, arrivals=loads)], own.method)


def test_there_is_a_picture_for_each_kind_of_load(analysis: Analysis) -> None:
    pictures = {name: to_png(figure) for name, figure in draw_charts(analysis) if name in LOADS.values()}
    assert list(pictures) == list(LOADS.values())
    assert all(png.startswith(b"\x89PNG") for png in pictures.values())


def test_the_ticks_of_a_wide_axis_are_plain_numbers() -> None:
    sweep = (point(1, 0.01, 1.0), point(4, 0.9, 1.7))
    own = record("vllm", *sweep, served=True)
    figure = draw_load(analyse([own], own.method), Load.CONCURRENCY)
    to_png(figure)  # places the ticks
    texts = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "100" in texts
    assert not any("$" in text for text in texts)


def test_the_report_shows_them(analysis: Analysis) -> None:
    text = str([section.blocks for section in sections_of(analysis) if section.key == "pictures"])
    assert all(name in text for name in LOADS.values())


def test_a_report_without_a_server_has_none() -> None:
    analysis = analyse(reference_records(), "fp16")
    assert not set(dict(draw_charts(analysis))) & set(LOADS.values())
    assert 'id="load-charts"' not in render_page(analysis, Path())


@pytest.mark.skipif(find_browser() is None, reason="no Chromium or Chrome is installed")
def test_the_page_draws_every_point_of_both_shares(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(analysis, tmp_path))
    with browser() as page:
        page.open(path)
        assert page.console == []
        assert page.run("document.querySelectorAll('#load-charts figure').length") == 4
        first = "document.querySelector('#load-charts svg').querySelectorAll('.mark').length"
        assert page.run(first) == 2 * 3 * 2
        page.run("document.querySelector('#shown input').click()")
        assert page.run(first) == 3 * 2
