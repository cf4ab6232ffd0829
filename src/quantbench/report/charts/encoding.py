"""How a method looks in every picture: its place among the rows gives its colour and its shape.

The colours are those of Okabe and Ito 2008, which colour-blind readers can tell apart, darkened for a white
ground; page.css repeats them for the page and lightens them for a dark one. The first is the first row's
alone, mostly the baseline's; six others and five shapes tell 30 more rows apart.
"""

COLOURS = ("#1d2126", "#0072b2", "#d55e00", "#009e73", "#b0588f", "#b57b00", "#2f8fc4")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down")  # Plotly's names


def colour_of(place: int) -> str:
    """The colour of the row with this number."""
    others = len(COLOURS) - 1
    return COLOURS[1 + (place - 1) % others if place else 0]


def symbol_of(place: int) -> str:
    """The shape of the row with this number."""
    return SYMBOLS[place % len(SYMBOLS)]
