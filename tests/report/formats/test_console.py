"""Tables on a terminal."""

from io import StringIO

from rich.console import Console

from quantbench.analysis import analyse
from quantbench.records import Record
from quantbench.report import print_tables
from tests.report_records import failed, full_record, reference_records


def printed(records: list[Record], width: int = 80) -> str:
    stream = StringIO()
    print_tables(analyse(records, "fp16"), Console(file=stream, width=width))
    return stream.getvalue()


def test_no_line_is_longer_than_eighty_columns() -> None:
    assert max(len(line) for line in printed(reference_records()).splitlines()) <= 80


def test_the_references_columns_are_there() -> None:
    text = printed(reference_records())
    for title in ("Method", "Model Size (GB)", "Inference Speed (tokens/sec)", "GPU Memory (GB)", "Pass@1"):
        assert title in text


def test_figures_of_a_method_stand_in_one_line() -> None:
    (line,) = [line for line in printed(reference_records()).splitlines() if line.startswith("int4   ")][:1]
    assert line.split() == ["int4", "0.250", "28.0", "0.500"]


def test_the_choices_are_printed_with_their_doubt() -> None:
    text = " ".join(printed(reference_records()).split())
    assert "code quality: fp16 (no clear lead over int8 and int4)" in text


def test_the_answer_is_printed_a_sentence_a_method() -> None:
    text = " ".join(printed(reference_records()).split())
    assert "int4: 0.25× the size, 0.42× the memory and 0.70× the speed of fp16;" in text


def test_a_name_is_not_taken_for_markup() -> None:
    assert "[bold]x[/]" in printed([full_record("[bold]x[/]", 1, 40, 1, ())])


def test_a_failure_is_printed_with_its_reason() -> None:
    records = [*reference_records()[:2], failed(reference_records()[2], "too\nlittle memory")]
    assert "int4: failed in the stage 'load': too little memory." in printed(records)
