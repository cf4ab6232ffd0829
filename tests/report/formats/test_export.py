"""results.json and results.csv: raw units, and nothing invented where nothing was measured."""

import csv
import io
import json

from quantbench.analysis import analyse
from quantbench.records import Record
from quantbench.report.formats.export import to_csv, to_json
from tests.report_records import failed, other_trial, reference_records


def rows(records: list[Record]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(analyse(records, "fp16")))))


def test_the_csv_has_a_line_a_method_in_bytes_and_tokens() -> None:
    (fp16, _, int4) = rows(reference_records())
    assert (fp16["method"], fp16["is_baseline"], fp16["weight_bytes"]) == ("fp16", "True", "1000000000")
    assert (int4["memory_bytes"], float(int4["decode_tokens_per_s"])) == ("500000000", 28.0)


def test_the_csv_names_the_task_of_each_score() -> None:
    assert rows(reference_records())[0]["humaneval_passed"] == "57"


def test_a_missing_figure_is_an_empty_cell() -> None:
    row = rows([failed(r) for r in reference_records()])[0]
    assert (row["completed"], row["weight_bytes"], row["decode_tokens_per_s"]) == ("False", "", "")


def test_the_json_holds_the_records_unchanged() -> None:
    records = reference_records()
    content = json.loads(to_json(analyse(records, "fp16")))
    assert [Record.model_validate(entry) for entry in content["records"]] == records


def test_the_json_holds_the_second_run_of_the_baseline() -> None:
    records = reference_records()
    floor = other_trial(records[0], role="floor")
    content = json.loads(to_json(analyse([*records, floor], "fp16")))
    assert [method["method"] for method in content["methods"]] == ["fp16", "int8", "int4"]
    assert content["records"][-1]["trial"]["role"] == "floor"


def test_the_json_holds_choices_by_name() -> None:
    content = json.loads(to_json(analyse(reference_records(), "fp16")))
    assert [entry["choice"] for entry in content["recommendations"]] == ["fp16", "int4", "fp16", "fp16"]
