"""HumanEval+ and MBPP+ are read as EvalPlus reads them, and base and plus inputs are told apart."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from quantbench.decoding import Decoder
from quantbench.errors import TaskError
from quantbench.evaluation.evaluate import evaluate
from quantbench.records import Outcome, TaskResult
from quantbench.sandbox.inside.closeness import check_cases
from quantbench.sandbox.pool import open_sandbox
from quantbench.settings import GenerationSettings
from quantbench.tasks import Task, check_data, data_of, load_task
from quantbench.tasks.mbpp_inputs import BY_NUMBER, restored
from quantbench.tasks.problem import Problem
from tests.evaluation.conftest import PROBLEMS, write_lines
from tests.evaluation.test_evaluate import TOKENIZER, Answers, quiet

MBPP = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to find the shared elements from the given two lists.\n"""\n',
    "canonical_solution": "def similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
    "entry_point": "similar_elements",
    "base_input": [[[3, 4, 5], [5, 7, 4]]],
    "plus_input": [[[1], [2]]],
    "atol": 0,
}


def result(task: Task, *answers: str) -> TaskResult:
    """The verdicts on these answers, executed in the sandbox."""
    found, _ = evaluate(
        task,
        cast(Decoder, Answers(answers)),
        TOKENIZER,
        frozenset(),
        GenerationSettings(batch_size=2, max_new_tokens=500),
        sandbox=open_sandbox,
        progress=quiet,
    )
    return found


def test_an_answer_must_pass_base_and_plus_inputs(tmp_path: Path) -> None:
    task = load_task("humaneval+", str(write_lines(tmp_path / "plus.jsonl", PROBLEMS)))
    found = result(task, "    return abs(sum(numbers))\n", "    return x / 2\n").completions
    assert [(c.base_outcome, c.outcome) for c in found] == [
        (Outcome.PASSED, Outcome.FAILED),
        (Outcome.PASSED, Outcome.PASSED),
    ]


def test_an_answer_to_mbpp_is_compared_by_evalpluss_own_rule(tmp_path: Path) -> None:
    task = load_task("mbpp+", str(write_lines(tmp_path / "mbpp.jsonl", [MBPP])))
    right = "def similar_elements(a, b):\n    return [x for x in b if x in a]\n"
    assert [c.outcome for c in result(task, right).completions] == [Outcome.PASSED]
    assert [c.outcome for c in result(task, right.replace("x in a", "True")).completions] == [Outcome.FAILED]


def test_inputs_are_restored_as_evalplus_restores_them() -> None:
    mbpp = pytest.importorskip("evalplus.data.mbpp")
    for number in BY_NUMBER:
        pairs = [[[1, 2], [3]], [[4], [5, 6]]] if number != 75 else [[[1, 2], [3]], 1]
        inputs: Any = {
            115: [[[1, 2], []]],
            124: ["1.5", "2j"],
            252: ["1+2j"],
            722: [{"a": [1, 2]}, 3],
        }.get(number, pairs)
        problem = Problem(
            task_id=f"Mbpp/{number}",
            prompt="",
            canonical_solution="",
            test="",
            entry_point="f",
            inputs={"base_input": [inputs], "plus_input": [], "atol": 0},
        )
        try:
            theirs = mbpp.mbpp_deserialize_inputs(f"Mbpp/{number}", [json.loads(json.dumps(inputs))])
        except (TypeError, ValueError):
            continue  # this problem takes other arguments
        found = restored(problem).inputs
        assert found is not None and found["base_input"] == [list(theirs[0])], number


@pytest.mark.parametrize(
    ("name", "arguments", "answer", "reference", "agrees"),
    [
        ("Diff", [[1], [2]], [2, 1], [1, 2], True),
        ("Diff", [[1], [2]], [1], [1, 2], False),
        ("check_str", ["a"], None, False, True),
        ("check_str", ["a"], object, True, True),
        ("sum_div", [1], 0, 1, True),
        ("digit_distance_nums", [1, 23], 4, 1, True),
        ("digit_distance_nums", [1, 23], 5, 1, False),
        ("surface_Area", [3, 4], 34, 33, False),
        ("surface_Area", [3, 4], 35, 33, True),
        ("are_equivalent", [1, 2], "x", True, True),
        ("other", [1], 2, 1, False),
    ],
)
def test_some_problems_of_mbpp_have_rules_of_their_own(
    name: str, arguments: list[Any], answer: Any, reference: Any, agrees: bool
) -> None:
    def passes() -> bool:
        try:
            check_cases(lambda *_: answer, [(arguments, reference)], name, 0.0, "mbpp+")
        except AssertionError:
            return False
        return True

    assert passes() is agrees


def test_a_file_without_plus_inputs_is_refused(tmp_path: Path) -> None:
    bare = {name: PROBLEMS[0][name] for name in ("task_id", "prompt", "canonical_solution", "entry_point")}
    bare["test"] = ""
    with pytest.raises(TaskError, match=r"Own/0 has no plus_input; give EvalPlus's file of humaneval\+"):
        load_task("humaneval+", str(write_lines(tmp_path / "bare.jsonl", [bare])))


def test_changed_inputs_are_other_data(tmp_path: Path) -> None:
    changed = [PROBLEMS[0] | {"plus_input": [[[7]]]}, PROBLEMS[1]]
    digests = {
        load_task("humaneval+", str(write_lines(tmp_path / f"{n}.jsonl", rows))).data_sha256
        for n, rows in enumerate((PROBLEMS, changed))
    }
    assert len(digests) == 2


GSM8K = [
    {"question": "Ann has 3 hens and buys 2 more. How many?", "answer": "3 + 2 = <<3+2=5>>5\n#### 5"},
    {"question": "A car costs $1,200. Two of them?", "answer": "2 * 1200 = 2400\n#### 2,400"},
]


def test_a_number_is_graded_without_a_program(tmp_path: Path) -> None:
    task = load_task("gsm8k", str(write_lines(tmp_path / "gsm8k.jsonl", GSM8K)))
    found = result(task, " 3 hens and 2 are 5. The answer is 5.\n\nQ: 7", " It is $2,401.")
    assert [c.outcome for c in found.completions] == [Outcome.PASSED, Outcome.FAILED]
    assert found.completions[1].detail == "answered 2401, not 2400"
    assert found.sandbox == "none: no program is run"


def test_a_right_reasoning_passes_and_silence_is_told(tmp_path: Path) -> None:
    task = load_task("gsm8k", str(write_lines(tmp_path / "gsm8k.jsonl", GSM8K)))
    found = result(task, task.problems[0].canonical_solution, "I do not know.").completions
    assert [c.outcome for c in found] == [Outcome.PASSED, Outcome.FAILED]
    assert not found[1].code_found


def test_gsm8k_is_asked_as_lm_eval_asks(tmp_path: Path) -> None:
    task = load_task("gsm8k", str(write_lines(tmp_path / "gsm8k.jsonl", GSM8K)))
    eight, zero = (protocol.prompt(task.problems[0]) for protocol in task.protocols[:2])
    assert zero == f"Q: {GSM8K[0]['question']}\nA: Let's think step by step."
    assert eight.startswith("Q: There are 15 trees in the grove.")
    assert "how many lollipops did Jason give to Denny?\nA: Jason started with 20" in eight.replace(
        "How many", "how many"
    )
    assert eight.count("\n\nQ: ") == 8 and eight.endswith(f"\n\nQ: {GSM8K[0]['question']}\nA:")


def test_files_of_several_tasks_are_given_by_name() -> None:
    data = "humaneval+=a.jsonl,gsm8k=b=c.jsonl"
    assert (data_of("humaneval+", data), data_of("gsm8k", data), data_of("quickeval", data)) == (
        "a.jsonl",
        "b=c.jsonl",
        None,
    )
    assert data_of("humaneval", "x=y.jsonl") == "x=y.jsonl"
    with pytest.raises(TaskError, match="belongs to one task"):
        check_data("a.jsonl", ["humaneval", "gsm8k"])
    with pytest.raises(TaskError, match="'gsm8k', which is not run"):
        check_data(data, ["humaneval+"])
