"""performance_tradeoffs.html stands alone."""

import re

import pytest

from quantbench.analysis import analyse
from quantbench.report.tradeoffs_page import render_tradeoffs
from tests.report_records import other_trial, reference_records


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
