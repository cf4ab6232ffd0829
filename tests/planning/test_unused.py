"""What options need to have an effect is known, whichever option it is."""

import pytest

from quantbench.errors import UsageError
from quantbench.planning.unused import NEEDS, Situation, check_unused
from quantbench.settings import Engine, RunSettings, read_settings
from quantbench.settings.base import places_of
from quantbench.settings.groups import TASKS
from quantbench.settings.option import facts_of

FIELDS = {name: place.field for name, place in places_of(RunSettings).items()}
OF_TASKS = [name for name, field in FIELDS.items() if TASKS in facts_of(field).needs]
ALONE = Situation(device="cpu", runs=(("fp16", Engine.NATIVE),), tasks=())
OTHER = {
    "task_data": "p.jsonl",
    "protocols": "chat",
    "temperature": 0.8,
    "top_p": 0.5,
    "unsafe_no_sandbox": True,
}


def test_every_need_is_a_condition_that_is_checked() -> None:
    assert {need for field in FIELDS.values() for need in facts_of(field).needs} == set(NEEDS)


@pytest.mark.parametrize("name", OF_TASKS)
def test_an_option_of_tasks_is_refused_where_none_is_run(name: str) -> None:
    asked = {name: OTHER.get(name, 3)} | ({"temperature": 0.8} if "completions" in name else {})
    with pytest.raises(UsageError, match="has no effect here: no task is run"):
        check_unused(read_settings(RunSettings, asked), ALONE)


def test_a_default_is_refused_nowhere() -> None:
    check_unused(RunSettings(), ALONE)


def test_a_calibration_text_is_refused_where_no_method_reads_one() -> None:
    asked = read_settings(RunSettings, {"calibration": "text.txt"})
    with pytest.raises(UsageError, match="--calibration has no effect here: no text calibrates fp16"):
        check_unused(asked, ALONE)
    check_unused(asked, Situation(device="cpu", runs=(("int4", Engine.NATIVE),), tasks=()))
