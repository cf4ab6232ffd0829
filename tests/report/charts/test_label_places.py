"""Labels cover neither each other nor a point."""

from quantbench.report.charts.label_places import place_labels


def test_a_lonely_point_has_its_label_above_on_the_right() -> None:
    assert place_labels([(100, 100)], ["fp16"], 800, 300) == ["top right"]


def test_a_point_at_the_right_edge_has_its_label_on_the_left() -> None:
    (place,) = place_labels([(795, 100)], ["fp16"], 800, 300)
    assert place is not None
    assert place.endswith("left")


def test_labels_of_near_points_go_to_different_sides() -> None:
    places = place_labels([(400, 150), (412, 152)], ["gptq-int4", "awq-int4"], 800, 300)
    assert None not in places
    assert places[0] != places[1]


def test_a_label_without_a_free_place_is_left_out() -> None:
    points = [(400.0 + step % 4, 150.0 + step // 4) for step in range(16)]
    places = place_labels(points, ["a-long-method-name"] * 16, 800, 300)
    assert places[0] is not None
    assert None in places


def test_a_missing_point_has_no_label() -> None:
    assert place_labels([None, (100, 100)], ["a", "b"], 800, 300) == [None, "top right"]
