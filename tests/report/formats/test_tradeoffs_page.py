"""performance_tradeoffs.html stands alone."""

import re
import time
from collections.abc import Iterator

import pytest

from quantbench.analysis import analyse
from quantbench.report.formats.tradeoffs_page import render_tradeoffs
from tests.browser import Page, browser, find_browser
from tests.report_records import other_trial, reference_records

needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium or Chrome is installed; run `make system-deps`"
)


@pytest.fixture(scope="module")
def page() -> str:
    return render_tradeoffs(analyse(reference_records(), "fp16"))


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    assert not re.search(r"<(script|img|link|iframe)[^>]*\s(src|href)=", page)


def test_the_button_that_sends_the_chart_to_a_server_is_removed(page: str) -> None:
    assert '"modeBarButtonsToRemove": ["sendChartToCloud"' in page or (
        '"modeBarButtonsToRemove":["sendChartToCloud"' in page
    )


def test_the_figures_stand_in_a_table_too(page: str) -> None:
    assert "<td>int4</td><td>0.250</td><td>28.0</td><td>0.500</td>" in page


def test_the_page_names_its_language_and_fits_a_phone(page: str) -> None:
    assert '<html lang="en">' in page
    assert 'name="viewport"' in page


def test_the_page_works_for_any_name() -> None:
    records = [other_trial(r, model="<script>alert(1)</script> {0} größe") for r in reference_records()]
    text = render_tradeoffs(analyse(records, "fp16"))
    assert "<script>alert(1)" not in text
    assert "{0} größe" in text


@pytest.fixture(scope="module")
def opened(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = tmp_path_factory.mktemp("page") / "performance_tradeoffs.html"
    path.write_text(page)
    with browser() as chromium:
        chromium.open(path, width=360, height=740)
        wait_for_chart(chromium)
        yield chromium


def wait_for_chart(page: Page) -> None:
    """The library is unpacked after the page has loaded."""
    for _ in range(200):
        if page.run("document.querySelectorAll('#tradeoffs .scatterlayer').length"):
            return
        time.sleep(0.05)


@needs_browser
def test_the_chart_is_drawn_without_a_network_and_without_errors(opened: Page) -> None:
    assert opened.run("document.querySelectorAll('#tradeoffs .scatterlayer .trace').length") == 6
    assert opened.console == []


@needs_browser
def test_a_button_puts_memory_in_the_place_of_size(opened: Page) -> None:
    opened.run("document.querySelectorAll('.updatemenu-button')[1].dispatchEvent(new MouseEvent('click'))")
    titles = "[...document.querySelectorAll('.xtitle, .x2title')].map(t => t.textContent)"
    assert opened.run(titles) == ["GPU memory (GB)"] * 2
    assert opened.run("document.getElementById('tradeoffs').data[2].x[0]") == 0.5


@needs_browser
def test_a_phone_shows_the_page_without_scrolling_sideways(opened: Page) -> None:
    assert opened.run("document.documentElement.scrollWidth") <= 360
