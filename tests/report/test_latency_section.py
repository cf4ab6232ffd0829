from quantbench.analysis import analyse
from quantbench.records import Record, Startup
from quantbench.report.blocks import Table
from quantbench.report.sections.latency import latency_sections
from tests.report_records import other_trial, record, speed_point

TIMES = tuple(1 + number / 100 for number in range(11))  # median 1.05, 90th percentile 1.09, longest 1.10


def table_of(*records: Record) -> Table:
    (section,) = latency_sections(analyse(records, "fp16"))
    table = section.blocks[0]
    assert isinstance(table, Table)
    return table


def cells(table: Table) -> dict[str, str]:
    return dict(zip([column.title for column in table.columns], table.rows[0], strict=True))


def test_percentiles_are_those_of_the_repetitions() -> None:
    table = table_of(record("fp16", speed=(speed_point(40.0, spread=TIMES, ttft_s=0.1),)))
    assert table.rows[0][1:4] == ("105", "109", "110")


def test_few_repetitions_have_no_90th_percentile() -> None:
    table = table_of(record("fp16", speed=(speed_point(40.0, spread=TIMES[:5]),)))
    assert "TTFT 90 %" not in [column.title for column in table.columns]


def test_energy_is_per_generated_token_of_the_batch() -> None:
    point = speed_point(40.0, batch_size=2).model_copy(update={"joules": (512.0, 500.0, 524.0)})
    pair = other_trial(record("fp16", speed=(point,)), batch_sizes=(2,))
    assert cells(table_of(pair))["Energy (J/token)"] == "2.0"


def test_energy_of_less_than_two_seconds_is_not_shown() -> None:
    point = speed_point(4000.0).model_copy(update={"joules": (40.0, 0.0, 40.0)})
    assert "Energy (J/token)" not in [c.title for c in table_of(record("fp16", speed=(point,))).columns]


def test_without_a_counter_no_energy_is_mentioned() -> None:
    (section,) = latency_sections(analyse([record("fp16", speed=(speed_point(40.0),))], "fp16"))
    assert "Energy" not in str(section)


def test_start_up_shows_what_was_timed() -> None:
    startup = Startup(import_s=1.5, load_s=2.5, quantize_s=0.75)
    found = cells(table_of(record("fp16", speed=(speed_point(40.0),), startup=startup)))
    assert (found["Import (s)"], found["Load (s)"], found["Quantize (s)"]) == ("1.50", "2.50", "0.750")
    assert "First run (s)" not in found


def test_without_speed_there_is_no_such_section() -> None:
    assert list(latency_sections(analyse([record("fp16")], "fp16"))) == []


def test_the_first_run_holds_what_the_headlines_own_first_run_took_longer() -> None:
    point = speed_point(127.0, ttft_s=0.5).model_copy(update={"warm_s": 4.0})
    startup = Startup(warmup_s=2.0)
    assert cells(table_of(record("fp16", speed=(point,), startup=startup)))["First run (s)"] == "4.50"
