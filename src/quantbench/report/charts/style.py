"""How every picture looks: colours that colour-blind readers can tell apart, sizes, and the way to PNG."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from quantbench.analysis import Row

INK = "#222222"
QUIET = "#595959"
GRID = "#DDDDDD"
BAND = "#8C8C8C"
INTERVAL = "#222222"

WIDTH = 7.6  # inches
DPI = 144
COLOURS = 256
LABEL = 24  # letters of a line of a row's name
BASELINE = " (baseline)"
SETTINGS: Any = {  # matplotlib wants a literal type of 300 keys
    "font.size": 10,
    "axes.titlesize": 13,
    "axes.labelsize": 10,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": INK,
    "text.parse_math": False,  # a `$` in a name is a dollar
    "axes.unicode_minus": True,
    "svg.hashsalt": "quantbench",
}


@contextmanager
def styled() -> Iterator[None]:
    """The settings above, and silence about letters that the font lacks."""
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


class ChartFigure(Figure):
    """A figure that a notebook shows as the picture that a report has."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


def new_figure(height: float) -> tuple[ChartFigure, Axes]:
    """A figure of the common width with one axes and no frame; height in inches."""
    figure = ChartFigure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure, axes


def set_titles(axes: Axes, title: str, subtitle: str) -> None:
    """A title that says what is shown, and under it which model and which direction is better.

    Both begin at the picture's left edge: names of rows may be long.
    """
    axes.set_title("\n\n", fontsize=11)
    heading: dict[str, Any] = {"fontsize": 13, "fontweight": "bold"}
    under: dict[str, Any] = {"fontsize": 10, "color": QUIET}
    for text, above, look in ((title, 30, heading), (subtitle, 12, under)):
        axes.annotate(
            text,
            xy=(0.01, 1),
            xycoords=("figure fraction", "axes fraction"),
            xytext=(0, above),
            textcoords="offset points",
            **look,
        )


def row_label(row: Row) -> str:
    """A method's name beside its bar or line, the baseline marked; a model's name has a line of its own."""
    model, space, method = row.label.rpartition(" ")
    name = short_name(row.label, LABEL)
    if space and len(row.label) > LABEL - len(BASELINE):
        name = f"{short_name(model, LABEL)}\n{method}"
    return f"{name}{BASELINE}" if row.is_baseline else name


def short_name(name: str, letters: int = 60) -> str:
    """The end of a name that is too long for a picture: paths differ there."""
    return name if len(name) <= letters else f"…{name[1 - letters :]}"


def to_png(figure: Figure) -> bytes:
    """PNG bytes of 256 colours (a third of all), without date or version: same figures, same file."""
    drawn, packed = io.BytesIO(), io.BytesIO()
    with styled():
        figure.savefig(drawn, format="png", dpi=DPI, facecolor="white")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(packed, format="png", optimize=True)
    return packed.getvalue()
