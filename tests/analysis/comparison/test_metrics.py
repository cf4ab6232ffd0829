"""Who leads, and which metrics there are."""

from quantbench.analysis.comparison.metrics import SIZE, SPEED, find_lead, metrics_of
from quantbench.analysis.comparison.rows import read_results
from tests.report_records import full_record, record, reference_records, speed_point, task_result


def test_a_metric_that_no_row_has_is_no_metric_of_the_report() -> None:
    results = read_results([record("fp16", speed=(speed_point(1.0),))], "fp16")
    assert [metric.key for metric in metrics_of(results)] == ["speed"]


def test_each_task_is_a_metric_of_its_own() -> None:
    tasks = (task_result(range(3)), task_result(range(3), 10, task="quickeval"))
    results = read_results([record("fp16", tasks=tasks)], "fp16")
    assert [metric.key for metric in metrics_of(results)] == ["pass@1:humaneval", "pass@1:quickeval"]


def test_the_lead_orders_those_behind_from_best_to_worst() -> None:
    lead = find_lead(SIZE, read_results(reference_records(), "fp16"))
    assert lead is not None
    assert lead.best.label == "int4"
    assert [row.label for row in lead.behind] == ["int8", "fp16"]


def test_the_baseline_wins_equal_figures() -> None:
    records = [full_record(name, 0.5, 40.0, 1.0, range(57)) for name in ("a", "fp16", "b")]
    lead = find_lead(SPEED, read_results(records, "fp16"))
    assert lead is not None
    assert lead.best.label == "fp16"
    assert {row.label for row in lead.tied} == {"a", "b"}


def test_nobody_leads_without_figures() -> None:
    assert find_lead(SIZE, read_results([record("fp16")], "fp16")) is None
