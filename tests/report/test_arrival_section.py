"""The table of requests at random times: figures that were disturbed carry a mark and a reason."""

from quantbench.analysis import analyse
from quantbench.records import ArrivalPoint
from quantbench.report.blocks import Table, Text
from quantbench.report.sections.arrivals import arrival_sections
from tests.builders import make_record, make_trial

POINT = ArrivalPoint(
    rate=2.0, prompt_tokens=4, new_tokens=11, duration_s=2.0, ttft_s=(0.1, 0.2), decode_s=(0.1, 0.1)
)


def test_a_disturbed_rate_is_marked_in_every_figure_and_its_neighbour_in_none() -> None:
    busy = POINT.model_copy(update={"rate": 4.0, "steal_share": 0.5})
    record = make_record(make_trial()).model_copy(update={"arrivals": (POINT, busy)})
    (section,) = arrival_sections(analyse([record], record.method))
    table, text = section.blocks
    assert isinstance(table, Table) and isinstance(text, Text)
    quiet, disturbed = table.rows
    assert not any("†" in cell for cell in quiet)
    assert [cell.endswith("†") for cell in disturbed] == [False, False, True, True, True, True, False, False]
    assert "† fp16 at 4/s was disturbed: the hypervisor took 50 % of the cores' time" in text.text
