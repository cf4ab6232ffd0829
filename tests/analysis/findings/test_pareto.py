from quantbench.analysis.comparison.metrics import SIZE, SPEED
from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.pareto import FrontPlace, Standing, pareto_front
from tests.report_records import full_record, reference_records


def places(*figures: tuple[str, float, float]) -> dict[str, Standing]:
    """Method, GB and tokens/s of each row; standing on these two alone."""
    records = [full_record(name, size, speed, 1.0, range(57)) for name, size, speed in figures]
    results = read_results(records, "fp16")
    return {standing.label: standing for standing in pareto_front(results, (SIZE, SPEED))}


def test_smaller_but_slower_methods_share_the_front() -> None:
    found = places(("fp16", 1.0, 40.0), ("int8", 0.5, 30.0))
    assert {standing.place for standing in found.values()} == {FrontPlace.FRONT}


def test_larger_and_slower_method_is_behind() -> None:
    found = places(("fp16", 1.0, 40.0), ("int8", 0.5, 50.0))
    assert found["fp16"] == Standing(label="fp16", place=FrontPlace.BEHIND, beaten_by=("int8",))


def test_method_that_only_noise_keeps_off_the_front_is_not_written_off() -> None:
    found = places(("fp16", 0.5, 40.0), ("int8", 0.5, 40.01))
    assert found["fp16"].place is FrontPlace.NEAR


def test_reference_methods_are_all_on_the_front_of_their_own_figures() -> None:
    standings = pareto_front(read_results(reference_records(), "fp16"))
    assert [standing.place for standing in standings] == [FrontPlace.FRONT] * 3


def test_row_without_a_figure_is_not_placed() -> None:
    records = [*reference_records()[:2], reference_records()[2].model_copy(update={"speed": ()})]
    standings = pareto_front(read_results(records, "fp16"), (SIZE, SPEED))
    assert [standing.label for standing in standings] == ["fp16", "int8", "int4"]
    assert standings[-1].place is FrontPlace.UNPLACED


def test_a_method_without_memory_is_named_with_what_it_lacks() -> None:
    records = reference_records()
    records[1] = records[1].model_copy(update={"memory": None})
    standing = pareto_front(read_results(records, "fp16"))[-1]
    assert (standing.label, standing.place, standing.missing) == ("int8", FrontPlace.UNPLACED, ("Memory",))
