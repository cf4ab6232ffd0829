from quantbench.analysis.floor import floor_flips, most_flips
from quantbench.analysis.rows import read_results
from tests.analysis.distances import floor_record
from tests.report_records import reference_records


def test_flips_of_the_rerun_are_counted_both_ways() -> None:
    floor = floor_record(solved=[*range(2, 57), 160])
    (flips,) = floor_flips(read_results([*reference_records(), floor], "fp16"))
    assert (flips.gained, flips.lost, flips.flips) == (1, 2, 3)


def test_most_flips_is_the_noisiest_rerun() -> None:
    floors = [floor_record(solved=range(56)), floor_record(solved=range(50), method="bf16")]
    flips = floor_flips(read_results([*reference_records(), *floors], "fp16"))
    assert most_flips(flips, "humaneval") == 7


def test_no_rerun_means_no_floor() -> None:
    flips = floor_flips(read_results(reference_records(), "fp16"))
    assert most_flips(flips, "humaneval") is None
