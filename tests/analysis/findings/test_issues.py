"""Failures and warnings."""

from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.issues import Issue, find_issues
from quantbench.kernels import Kernel
from quantbench.records import Completion, Outcome, Record, Size
from tests.report_records import failed, other_trial, record, reference_records, speed_point, task_result


def issues(records: list[Record]) -> tuple[Issue, ...]:
    return find_issues(read_results(records, "fp16"))


def test_a_run_without_problems_has_no_troubles() -> None:
    assert issues(reference_records()) == ()


def test_a_failure_names_its_stage_and_stands_first() -> None:
    warned = record("fp16", warnings=("something odd",))
    found = issues([warned, failed(record("int8"), "no\nmemory")])
    assert found[0] == Issue(label="int8", text="failed in the stage 'load': no memory.", failed=True)
    assert found[1].text == "something odd."


def test_the_same_warning_of_several_methods_is_said_once() -> None:
    records = [record(name, warnings=("a slow kernel ran",)) for name in ("fp16", "int8", "int4")]
    assert [issue.label for issue in issues(records)] == ["fp16, int8 and int4"]


def test_a_failed_point_of_a_sweep_is_named() -> None:
    dead = speed_point(1.0, batch_size=64).model_copy(update={"failure": "out of memory"})
    (issue,) = issues([record("fp16", speed=(dead,))])
    assert issue.text == "no speed at batch 64, prompt 128: out of memory."


def test_layers_that_were_not_quantized_are_named() -> None:
    size = Size(
        weight_bytes=10,
        effective_bits=8,
        quantized_parameters=900,
        kept_parameters=100,
        kept_layers=("lm_head", "a", "b", "c", "d"),
    )
    (issue,) = issues([record("int4", size=size)])
    assert issue.text.startswith("10.0 % of the matrix parameters stayed at 16 bits or more")
    assert "lm_head, a, b and 2 more" in issue.text


def test_completions_that_were_cut_are_counted() -> None:
    cut = Completion(task_id="a", outcome=Outcome.FAILED, finish_reason="length", tokens=9)
    (issue,) = issues([record("fp16", tasks=(task_result((), completions=(cut,)),))])
    assert "1 of 1 completion met the length limit" in issue.text


def test_programs_that_met_the_sandbox_are_counted() -> None:
    odd = Completion(task_id="a", outcome=Outcome.FORBIDDEN, finish_reason="eos", tokens=9)
    (issue,) = issues([record("fp16", tasks=(task_result((), completions=(odd,)),))])
    assert "1 tried what the sandbox forbids" in issue.text


def test_a_failed_second_run_of_the_baseline_is_said() -> None:
    floor = other_trial(failed(record("fp16")), role="floor")
    (issue,) = issues([record("fp16"), floor])
    assert issue.label == "fp16, second run"


def test_a_note_on_comparable_data_is_a_warning_and_one_on_other_data_is_told_with_the_score() -> None:
    comparable = record("fp16", tasks=(task_result((), note="read from a mirror"),))
    assert [issue.text for issue in issues([comparable])] == ["HumanEval: read from a mirror."]
    own = record("fp16", tasks=(task_result((), 20, task="quickeval", note="our own"),))
    assert issues([own]) == ()


def test_programs_that_ran_without_containment_are_named() -> None:
    task = task_result([0], 2).model_copy(update={"sandbox": "unsafe-no-sandbox"})
    texts = [issue.text for issue in issues([record("fp16", tasks=(task,))])]
    assert any("ran without containment" in text for text in texts)


def test_a_kernel_that_fell_back_is_named_with_its_reason() -> None:
    kernel = Kernel(operation="linear", name="torch", reason="no C++ compiler found")
    (issue,) = issues([record("fp16", kernels=(kernel,))])
    assert issue.text == "slower kernels ran: torch: no C++ compiler found."


def test_a_row_of_another_engine_than_the_baseline_says_so() -> None:
    mixed = [record("fp16", engine="transformers"), record("int8", engine="native")]
    (issue,) = issues(mixed)
    assert issue.label == "int8"
    assert issue.text.startswith("ran with the engine 'quantbench', the baseline with 'transformers': ")
