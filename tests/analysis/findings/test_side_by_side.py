"""A report says where trials ran beside others, and what that leaves in its comparisons."""

import pytest

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.caveats import caveats_of
from quantbench.records import HeldPlace, Record
from tests.report_records import reference_records


def caveats(*places: str | None) -> str:
    records = [at(*pair) for pair in zip(reference_records(), places, strict=True)]
    return " ".join(caveats_of(read_results(records, "fp16")))


def at(record: Record, place: str | None) -> Record:
    extra = {"side_by_side_on": place} if place else {}
    environment = record.environment.model_copy(update={"extra": extra})
    return record.model_copy(update={"environment": environment})


CASES = [
    (("cuda:0", "cuda:1", "cuda:0"), "The methods ran on cuda:0 and cuda:1 of one host"),
    (("cuda:1", "cuda:1", "cuda:1"), "other hosts may differ"),
    (("cpu:0", "cpu:1", "cpu:0"), "shared the CPU's memory"),
    (("ray", "ray", "ray"), "each on any of its nodes"),
]


@pytest.mark.parametrize(("places", "said"), CASES)
def test_what_ran_beside_others_is_said(places: tuple[str, ...], said: str) -> None:
    assert said in caveats(*places)


def test_nothing_is_said_of_trials_that_ran_alone() -> None:
    assert not any(said in caveats(None, None, None) for _, said in CASES)


def test_what_the_figures_of_a_spread_model_mean_is_said() -> None:
    places = tuple(HeldPlace(device=f"cuda:{n}", holds="layer", nbytes=1) for n in range(2))
    first, *others = reference_records()
    records = [first.model_copy(update={"places": places}), *others]
    said = " ".join(caveats_of(read_results(records, "fp16")))
    assert "fp16 lay on cuda:0 and cuda:1, layer after layer: the GPUs work one after another" in said
    assert "layer after layer" not in caveats(None, None, None)


def test_one_device_is_no_difference_between_devices() -> None:
    assert "of one host" not in caveats("cuda:1", "cuda:1", "cuda:1")
