"""A task under several protocols: how far they move a score, and which verdicts survive them."""

from collections.abc import Iterable

from quantbench.analysis.comparison.protocol_spread import ProtocolSpread, protocol_spreads
from quantbench.analysis.comparison.rows import read_results
from quantbench.records import Record
from tests.report_records import full_record, reference_records, task_result

ALL = range(164)


def asked(method: str, *solved: Iterable[int]) -> Record:
    """A method asked by as many protocols, the first of which decides."""
    first, *others = (task_result(numbers, protocol=f"way-{n}-v1") for n, numbers in enumerate(solved))
    return full_record(method, 1.0, 40.0, 1.0, first).model_copy(update={"other_protocols": tuple(others)})


def spread(*records: Record) -> ProtocolSpread:
    (found,) = protocol_spreads(read_results(records, "fp16"))
    return found


def test_the_spread_stands_beside_the_largest_difference_between_methods() -> None:
    found = spread(asked("fp16", range(80), range(100)), asked("int8", range(79), range(100)))
    assert [way.protocol for way in found.ways] == ["way-0-v1", "way-1-v1"]
    assert found.statements[0] == (
        "The protocol moves fp16 by 12.2 points: pass@1 0.488 under way-0-v1, 0.610 under way-1-v1. "
        "The largest difference of a method under one protocol is −0.6 points (int8 under way-0-v1)."
    )


def test_a_verdict_that_every_protocol_gives_is_told_as_such() -> None:
    found = spread(asked("fp16", range(80), range(100)), asked("int4", range(40), range(50)))
    assert found.statements[1] == "int4 is worse than fp16 under each of 2 protocols."


def test_a_verdict_that_depends_on_the_protocol_is_told_as_such() -> None:
    found = spread(asked("fp16", range(80), range(100)), asked("int4", range(80), range(50)))
    assert "The verdict on int4 against fp16 depends on the protocol" in found.statements[1]
    assert "worse under way-1-v1" in found.statements[1]


def test_verdicts_are_corrected_for_all_protocols_and_methods() -> None:
    fp16 = asked("fp16", *[range(57)] * 4)
    alone = spread(asked("fp16", *[range(57)] * 2), asked("int8", range(51), range(57)))
    several = spread(fp16, asked("int8", range(51), *[range(57)] * 3))
    p = [found.ways[0].pairs["int8"].adjusted_p for found in (alone, several)]
    assert p[1] == 2 * p[0] > 0.05


def test_one_protocol_has_no_spread() -> None:
    assert protocol_spreads(read_results(reference_records(), "fp16")) == ()
