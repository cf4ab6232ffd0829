"""Where labels of points go so that they cover neither each other nor a point. Knows boxes, draws nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

# Plotly's names of the places around a point, in the order they are tried: offsets of the label's centre in
# halves of (label width + GAP, label height + GAP), positive to the right and up.
PLACES = {
    "top right": (1, 1),
    "bottom right": (1, -1),
    "middle right": (1, 0),
    "top left": (-1, 1),
    "bottom left": (-1, -1),
    "middle left": (-1, 0),
    "top center": (0, 1.4),
    "bottom center": (0, -1.4),
}
LETTER, LINE, GAP, POINT = 7.5, 17.0, 4.0, 15.0  # pixels


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Pixels, y upwards."""

    left: float
    right: float
    low: float
    high: float

    def meets(self, other: "Rectangle") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.low < other.high
            and other.low < self.high
        )


def place_labels(
    points: Sequence[tuple[float, float] | None], labels: Sequence[str], width: float, height: float
) -> list[str | None]:
    """A place for each label, None where no place is free or there is no point.

    `points` are in pixels from the lower left corner of an area of `width` x `height`.
    """
    area = Rectangle(0, width, 0, height)
    taken = [_around(*point, POINT, POINT) for point in points if point]
    chosen: list[str | None] = []
    for point, label in zip(points, labels, strict=True):
        place = None
        for name, (right, up) in PLACES.items() if point else ():
            box = _label_box(point, label, right, up) if point else area
            if _inside(box, area) and not any(box.meets(other) for other in taken):
                taken.append(box)
                place = name
                break
        chosen.append(place)
    return chosen


def _around(x: float, y: float, width: float, height: float) -> Rectangle:
    return Rectangle(x - width / 2, x + width / 2, y - height / 2, y + height / 2)


def _label_box(point: tuple[float, float], label: str, right: float, up: float) -> Rectangle:
    width = LETTER * len(label)
    x = point[0] + right * (width + POINT + GAP) / 2
    y = point[1] + up * (LINE + GAP) / 2
    return _around(x, y, width, LINE)


def _inside(box: Rectangle, area: Rectangle) -> bool:
    return box.left >= area.left and box.right <= area.right and box.low >= area.low and box.high <= area.high
