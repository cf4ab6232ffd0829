"""report.html in a real browser: it renders offline without errors, sorts, filters, zooms and prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quantbench.analysis import analyse
from quantbench.report.formats.page import as_json, render_page
from tests.browser import Page, browser, find_browser
from tests.report.results_folder import write_results

needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium or Chrome is installed; run `make system-deps`"
)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    path = folder / "report.html"
    path.write_text(render_page(analyse(write_results(folder), "fp16"), folder))
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(chromium: Page, page_file: Path) -> Page:
    chromium.open(page_file)
    return chromium


def column(page: Page, section: str, number: int) -> list[str]:
    """The visible cells of a table's column, from above."""
    cells = f"#{section} tbody tr:not([hidden]) > :nth-child({number})"
    found: list[str] = page.run(f"[...document.querySelectorAll('{cells}')].map(c => c.textContent)")
    return found


def test_page_loads_nothing_from_elsewhere(page_file: Path) -> None:
    text = page_file.read_text()
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text and "@import" not in text


def test_prompts_are_text_and_never_markup(page_file: Path) -> None:
    assert "a + b &amp; &lt;b&gt;0&lt;/b&gt;" in page_file.read_text()


def test_data_cannot_end_its_script_element() -> None:
    assert "<" not in as_json({"label": "</script><script>alert(1)</script>"})


@needs_browser
def test_page_renders_without_errors(page: Page) -> None:
    assert page.console == []
    assert page.run("document.querySelectorAll('#chart svg .mark').length") == 3


@needs_browser
def test_sorting_by_a_number_orders_rows_and_says_so(page: Page) -> None:
    page.run("document.querySelectorAll('#methods .sort')[1].click()")
    assert column(page, "methods", 1) == ["int4", "int8", "fp16"]
    assert page.run("document.querySelectorAll('#methods th')[1].ariaSort") == "ascending"


@needs_browser
def test_sorting_twice_turns_the_order_round(page: Page) -> None:
    page.run("for (let i = 0; i < 2; i++) document.querySelectorAll('#methods .sort')[3].click()")
    assert column(page, "methods", 1) == ["fp16", "int8", "int4"]


@needs_browser
def test_tables_can_be_sorted_with_the_keyboard(page: Page) -> None:
    page.run("document.querySelectorAll('#methods .sort')[1].focus()")
    page.press("Enter")
    assert column(page, "methods", 1) == ["int4", "int8", "fp16"]


@needs_browser
def test_hiding_a_method_hides_it_in_tables_charts_and_answers(page: Page) -> None:
    page.run("document.querySelector('#shown input[value=int8]').click()")
    assert column(page, "methods", 1) == ["fp16", "int4"]
    assert page.run("document.querySelectorAll('#chart svg .mark').length") == 2
    assert page.run("document.querySelectorAll('.flip:not([hidden])[data-method=int8]').length") == 0


@needs_browser
def test_zooming_in_narrows_the_axes_and_reset_restores_them(page: Page) -> None:
    ticks = "[...document.querySelectorAll('#chart .tick')].map(t => t.textContent).join()"
    before = page.run(ticks)
    page.run("document.getElementById('zoom-in').click()")
    assert page.run(ticks) != before
    page.run("document.getElementById('zoom-reset').click()")
    assert page.run(ticks) == before


@needs_browser
def test_chart_zooms_with_the_keyboard(page: Page) -> None:
    ticks = "[...document.querySelectorAll('#chart .tick')].map(t => t.textContent).join()"
    before = page.run(ticks)
    page.run("document.querySelector('#chart svg').focus()")
    page.press("+")
    page.press("+")
    assert page.run(ticks) != before
    assert page.run("document.activeElement.tagName") == "svg"


@needs_browser
def test_chart_draws_intervals_and_names_the_front(page: Page) -> None:
    assert page.run("document.querySelectorAll('#chart .bar').length") == 3
    assert "On the front of these two: int4, int8, fp16." in page.run(
        "document.getElementById('chart-note').textContent"
    )


@needs_browser
def test_axes_start_at_zero(page: Page) -> None:
    ticks = page.run("[...document.querySelectorAll('#chart .tick')].map(t => t.textContent)")
    assert ticks.count("0") == 2


@needs_browser
def test_no_line_runs_through_a_label(page: Page) -> None:
    crossed = """(() => {
      const [front] = document.querySelectorAll('#chart .front');
      const points = front.getAttribute('points').split(' ').map(p => p.split(',').map(Number));
      const inside = (box, x, y) => x > box.x && x < box.x + box.width && y > box.y && y < box.y + box.height;
      const steps = points.slice(1).flatMap(([bx, by], i) => [...Array(400).keys()].map(n =>
        [points[i][0] + (bx - points[i][0]) * n / 400, points[i][1] + (by - points[i][1]) * n / 400]));
      return [...document.querySelectorAll('#chart .name')].filter(label =>
        steps.some(([x, y]) => inside(label.getBBox(), x, y))).map(label => label.textContent);
    })()"""
    assert page.run("document.querySelectorAll('#chart .name').length") == 3
    assert page.run(crossed) == []


@needs_browser
def test_distance_axis_shows_the_noise_floor(page: Page) -> None:
    page.run(
        "(select => { select.selectedIndex = select.options.length - 1;"
        " select.dispatchEvent(new Event('change')); })(document.getElementById('axis-y'))"
    )
    assert page.run("document.querySelectorAll('#chart .floor').length") == 1
    assert "KL" in page.run("document.querySelector('#chart svg').getAttribute('aria-label')")


@needs_browser
def test_sweep_curves_have_a_point_a_method_and_batch(page: Page) -> None:
    assert page.run("document.querySelectorAll('#curves figure')[0].querySelectorAll('title').length") == 6


@needs_browser
def test_flips_are_filtered_by_method_direction_and_words(page: Page) -> None:
    page.run(
        "const wanted = {'flip-method': 'int4', 'flip-direction': 'won', 'flip-search': '/111'};"
        "for (const [id, value] of Object.entries(wanted)) {"
        " const e = document.getElementById(id); e.value = value; e.dispatchEvent(new Event('input')); }"
    )
    shown = page.run("[...document.querySelectorAll('.flip:not([hidden]) strong')].map(e => e.textContent)")
    assert shown == ["humaneval/111"]
    assert page.run("document.getElementById('flip-count').textContent") == "1 shown"


@needs_browser
def test_opened_flip_shows_prompt_diff_and_failure(page: Page) -> None:
    page.run("document.querySelector('.flip summary').click()")
    text = page.run("document.querySelector('.flip[open]').innerText")
    assert "def add_0(a, b)" in text
    assert "+     # int8" in text
    assert "AssertionError in humaneval/0" in text


@needs_browser
def test_phone_scrolls_tables_but_never_the_page_sideways(chromium: Page, page_file: Path) -> None:
    chromium.open(page_file, width=360, height=740)
    assert chromium.run("document.documentElement.scrollWidth") <= 360


@needs_browser
def test_dark_scheme_turns_ink_and_paper_round(chromium: Page, page_file: Path) -> None:
    ink = "getComputedStyle(document.body).color"
    chromium.open(page_file, dark=True)
    dark = chromium.run(ink)
    chromium.open(page_file)
    assert dark != chromium.run(ink)


@needs_browser
def test_page_prints_as_a_document(page: Page) -> None:
    assert page.pdf().startswith(b"%PDF")


@needs_browser
def test_first_key_leads_past_the_navigation(page: Page) -> None:
    page.press("Tab")
    assert page.run("document.activeElement.getAttribute('href')") == "#main"


@needs_browser
def test_every_control_and_chart_has_a_name_for_screen_readers(page: Page) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "checkbox", "searchbox", "img", "image", "region", "link"}
    named = [n for n in nodes if n.get("role", {}).get("value") in roles and not n["ignored"]]
    assert len(named) > 40
    assert [n["role"]["value"] for n in named if not n.get("name", {}).get("value")] == []
