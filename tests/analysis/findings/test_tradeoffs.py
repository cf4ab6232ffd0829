"""Trade-offs come from the figures of these records."""

import pytest

from quantbench.analysis.comparison.paired import Change, paired_scores
from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.tradeoffs import trade_offs
from quantbench.records import Memory, Record
from tests.report_records import failed, full_record, reference_records


def statements(records: list[Record]) -> dict[str, str]:
    return {s.title: s.text for s in trade_offs(read_results(records, "fp16"))}


def test_each_method_is_set_in_relation_to_the_baseline() -> None:
    text = statements(reference_records())["int8"]
    assert text.startswith("0.50× the size, 0.67× the memory and 0.80× the speed of fp16")


def test_lost_points_are_called_noise_where_they_may_be() -> None:
    text = statements(reference_records())["int4"]
    assert "−6.7 points, no difference shown" in text


def test_slower_small_methods_teach_that_bits_did_not_buy_speed() -> None:
    text = statements(reference_records())["Bits and speed"]
    assert text.startswith("fewer bits did not buy speed")
    assert "int8 and int4 decoded slower" in text


def test_faster_small_methods_teach_that_bytes_bought_speed() -> None:
    records = [full_record("fp16", 1, 40, 1, ()), full_record("int4", 0.25, 90, 0.5, ())]
    assert statements(records)["Bits and speed"].startswith("fewer bytes to read bought speed")


def test_memory_that_shrinks_as_much_as_the_size_is_not_remarked() -> None:
    records = [full_record("fp16", 1, 40, 1, ()), full_record("int4", 0.25, 90, 0.25, ())]
    assert "Memory and size" not in statements(records)


def test_a_memory_difference_inside_the_noise_is_marked() -> None:
    def on_cpu(record: Record, count: int) -> Record:
        return record.model_copy(update={"memory": Memory(kind="cpu", process_bytes=count)})

    records = reference_records()
    pair = [on_cpu(records[0], 1_000_000_000), on_cpu(records[1], 990_000_000)]
    assert "0.99× the memory (no difference shown)" in statements(pair)["int8"]


def test_no_proven_loss_is_not_called_no_loss() -> None:
    assert "no proof that nothing was lost" in statements(reference_records())["Bits and quality"]


def test_a_failed_baseline_leaves_nothing_to_relate_to() -> None:
    records = [failed(reference_records()[0]), *reference_records()[1:]]
    assert list(statements(records)) == ["No baseline"]


def test_a_missing_figure_of_one_method_leaves_only_that_ratio_out() -> None:
    records = reference_records()
    records[1] = records[1].model_copy(update={"memory": None})
    assert statements(records)["int8"].startswith("0.50× the size and 0.80× the speed of fp16")


@pytest.mark.parametrize("solved", [57, 54, 51, 50, 48, 40])
def test_the_judgement_on_a_score_is_that_of_the_paired_table(solved: int) -> None:
    records = [
        full_record("fp16", 1, 40, 1, range(57)),
        full_record("int8", 0.5, 32, 1, range(51)),
        full_record("int4", 0.25, 28, 1, range(solved)),
    ]
    pairs = {pair.label: pair for pair in paired_scores(read_results(records, "fp16"))}
    said = "a significant difference" in statements(records)["int4"]
    assert said == (pairs["int4"].change is not Change.UNDECIDED)


def test_memory_that_stays_is_not_said_to_shrink() -> None:
    def on_cpu(record: Record, count: int) -> Record:
        return record.model_copy(update={"memory": Memory(kind="cpu", process_bytes=count)})

    records = reference_records()
    pair = [on_cpu(records[0], 263_000_000), on_cpu(records[2], 268_000_000)]
    assert statements(pair)["Memory and size"].startswith("memory does not shrink with the weights")
