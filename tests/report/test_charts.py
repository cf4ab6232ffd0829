"""The pictures: as many as promised, and the same for the same figures. Their looks are not tested."""

import re
import struct
from importlib import resources

import pytest

from quantbench.analysis import analyse
from quantbench.analysis.comparison.metrics import SIZE, SPEED, score_metric
from quantbench.report.charts import draw_charts
from quantbench.report.charts.bars import draw_bars, make_bars
from quantbench.report.charts.captions import baseline_runs, captions_of
from quantbench.report.charts.encoding import COLOURS, colour_of, symbol_of
from quantbench.report.charts.heatmap import shares_of
from quantbench.report.charts.style import to_png
from tests.report_records import failed, full_record, other_trial, record, reference_records, speed_point

FILES = [
    "model_size_comparison.png",
    "inference_speed_comparison.png",
    "memory_usage_comparison.png",
    "humaneval_pass_at_1_comparison.png",
    "normalized_metrics_heatmap.png",
]


def png_size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_there_are_the_references_four_pictures_and_one_a_task() -> None:
    pictures = {name: to_png(p) for name, p in draw_charts(analyse(reference_records(), "fp16"))}
    assert list(pictures) == FILES
    assert all(png_size(png)[0] > 900 for png in pictures.values())


def test_the_same_figures_give_the_same_picture() -> None:
    results = analyse(reference_records(), "fp16").results
    assert to_png(draw_bars(results, SIZE)) == to_png(draw_bars(results, SIZE))


def test_failures_alone_give_no_picture() -> None:
    assert list(draw_charts(analyse([failed(r) for r in reference_records()], "fp16"))) == []


def test_a_picture_grows_with_the_number_of_methods() -> None:
    names = ["fp16", *(f"method-{number}" for number in range(11))]
    results = analyse([full_record(name, 1, 40, 1, ()) for name in names], "fp16").results
    few = analyse(reference_records(), "fp16").results
    assert png_size(to_png(draw_bars(results, SIZE)))[1] > 2 * png_size(to_png(draw_bars(few, SIZE)))[1]


@pytest.mark.parametrize("name", ["$cost$ [b]*", "größe-4бит-量化", "x" * 80])
def test_any_name_can_be_drawn(name: str) -> None:
    results = analyse([record("fp16"), record(name, speed=(speed_point(3.0),))], "fp16").results
    assert png_size(to_png(draw_bars(results, SPEED)))[0] > 0


def test_a_bar_says_its_figure_and_its_ratio() -> None:
    bars = make_bars(analyse(reference_records(), "fp16").results, SIZE)
    assert [bar.text for bar in bars] == ["1.000 GB", "0.500 GB  (0.50×)", "0.250 GB  (0.25×)"]


def test_a_measure_without_any_figure_has_no_picture() -> None:
    records = [r.model_copy(update={"speed": ()}) for r in reference_records()]
    assert "inference_speed_comparison.png" not in dict(draw_charts(analyse(records, "fp16")))


def test_one_method_alone_has_no_heatmap() -> None:
    assert list(dict(draw_charts(analyse(reference_records()[:1], "fp16")))) == FILES[:-1]


def test_a_column_inside_the_noise_has_no_colour() -> None:
    results = analyse(reference_records(), "fp16").results
    assert shares_of(score_metric("humaneval"), results) == {}
    assert shares_of(SIZE, results) == {"fp16": 0.0, "int8": pytest.approx(2 / 3), "int4": 1.0}


def test_the_page_repeats_the_colours_of_the_pictures() -> None:
    css = (resources.files("quantbench.report") / "templates" / "page.css").read_text()
    light = css[: css.index("prefers-color-scheme")]
    assert tuple(re.findall(r"--m\d: (#[0-9a-f]{6})", light)) == COLOURS


def test_the_baseline_is_marked() -> None:
    bars = make_bars(analyse(reference_records(), "fp16").results, SIZE)
    assert [bar.label for bar in bars] == ["fp16 (baseline)", "int8", "int4"]


def test_a_speed_has_the_arms_of_its_interval() -> None:
    bar = make_bars(analyse(reference_records(), "fp16").results, SPEED)[0]
    assert 0 < bar.low < 0.2
    assert 0 < bar.high < 0.2


def test_a_missing_figure_says_so_in_its_line() -> None:
    records = reference_records()
    records[1] = records[1].model_copy(update={"size": None})
    assert make_bars(analyse(records, "fp16").results, SIZE)[1].text == "not measured"


def test_runs_of_the_baseline_itself_are_shaded_in_the_chart_of_a_score() -> None:
    records = reference_records()
    again = full_record("fp16", 1, 40, 1, range(53))
    results = analyse([*records, other_trial(again, role="floor", batch_size=31)], "fp16").results
    assert baseline_runs(results, score_metric("humaneval")) == (53 / 164, 57 / 164)
    assert baseline_runs(results, SPEED) is None


def test_a_chart_says_when_all_differences_are_noise() -> None:
    results = analyse(reference_records(), "fp16").results
    assert "no difference is shown" in captions_of(results, score_metric("humaneval"), "").subtitle
    assert "no difference is shown" not in captions_of(results, SPEED, "tokens/s").subtitle


def test_a_rerun_with_the_same_score_is_said_and_not_drawn_as_a_band() -> None:
    records = reference_records()
    again = other_trial(records[0], role="floor", batch_size=31)
    results = analyse([*records, again], "fp16").results
    axis = captions_of(results, score_metric("humaneval"), "").axis
    assert "every run of the baseline gave the same score" in axis


def test_no_row_looks_like_the_baseline_or_like_another_of_thirty() -> None:
    looks = [(colour_of(place), symbol_of(place)) for place in range(31)]
    assert len(set(looks)) == 31
    assert COLOURS[0] not in [colour for colour, _ in looks[1:]]
