"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): word problems whose answers are numbers. No program is run.

The data are not part of this package: a .jsonl or .parquet file with `question` and `answer` from
--task-data, or the hub's openai/gsm8k. Protocols are those of lm-eval 0.4.13: `gsm8k_cot` (the eight examples
of Wei et al. 2022, in assets/gsm8k_examples.json), and `gsm8k_cot_zeroshot` as a text and as a chat. An
answer counts by its last number (lm-eval's flexible-extract).
"""

import hashlib
import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from quantbench.errors import TaskError
from quantbench.tasks.hub import fetch_file
from quantbench.tasks.problem import Conversation, Extraction, Grading, Problem, PromptProtocol, Task
from quantbench.tasks.problem_file import read_rows

HUB_DATASET, HUB_FILE = "openai/gsm8k", "main/test-00000-of-00001.parquet"
TEST_SIZE = 1319  # of the published test set
NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
IGNORED = re.compile(r",|\$|\.$")
ZERO_SHOT = "Q: {}\nA: Let's think step by step."


def load_gsm8k(data: str | None = None) -> Task:
    """GSM8K's test set from `data` or from the hub; TaskError if neither can be read."""
    rows = read_rows(Path(data) if data else _download())
    problems = tuple(problem_of(row, number) for number, row in rows)
    if not problems:
        raise TaskError("the file holds no problems; give GSM8K's test set")
    whole = len(problems) == TEST_SIZE
    note = None if whole else f"{len(problems)} problems, not the {TEST_SIZE} of the test set"
    digest = hashlib.sha256("".join(f"{p.prompt}\n{p.test}\n" for p in problems).encode()).hexdigest()
    return Task(
        name="gsm8k",
        problems=problems,
        protocol=PROTOCOLS[0],
        protocols=PROTOCOLS,
        data_sha256=digest,
        comparable=whole,
        note=note,
        grading=Grading.NUMBER,
    )


def problem_of(row: Any, number: int) -> Problem:
    """A row as a problem whose `test` is the right number; TaskError for one that is none."""
    question, answer = (row.get(name) if isinstance(row, dict) else None for name in ("question", "answer"))
    if not isinstance(question, str) or not isinstance(answer, str) or "####" not in answer:
        raise TaskError(f"problem {number} lacks 'question', or 'answer' with '####'; give a file of GSM8K")
    reasoning, _, target = answer.rpartition("####")
    return Problem(
        task_id=f"GSM8K/{number - 1}",
        prompt=question,
        canonical_solution=f" {reasoning.strip()} The answer is {target.strip()}.",
        test=target.strip(),
        entry_point="",
    )


def last_number(text: str) -> str | None:
    """The last number of an answer, without its dollar sign, commas and full stop; None without one."""
    found = [match.group() for match in NUMBER.finditer(text)]
    return plain(found[-1]) if found else None


def plain(number: str) -> str:
    """A number as it is compared."""
    return IGNORED.sub("", number.strip())


def eight_shot(problem: Problem) -> str:
    """lm-eval's `gsm8k_cot`: eight examples, then the question."""
    shots = json.loads((resources.files("quantbench") / "assets" / "gsm8k_examples.json").read_text())
    told = "".join(f"Q: {shot['question']}\nA: {shot['target']}\n\n" for shot in shots)
    return f"{told}Q: {problem.prompt}\nA:"


def zero_shot(problem: Problem) -> str:
    """lm-eval's `gsm8k_cot_zeroshot`."""
    return ZERO_SHOT.format(problem.prompt)


EIGHT_SHOT = PromptProtocol(
    name="completion-lm-eval-8-shot",
    version=3,
    stops=("Q:", "</s>", "<|im_end|>"),
    max_new_tokens=256,
    prompt=eight_shot,
    extraction=Extraction.LAST_NUMBER,
)
PROTOCOLS = (
    EIGHT_SHOT,
    replace(EIGHT_SHOT, name="completion-lm-eval-0-shot", prompt=zero_shot),
    replace(
        EIGHT_SHOT,
        name="chat-lm-eval-0-shot",
        prompt=zero_shot,
        conversation=lambda problem: Conversation(user=zero_shot(problem)),
    ),
)


def _download() -> Path:
    fix = "give its test set with --task-data gsm8k=test.jsonl"
    return fetch_file(HUB_DATASET, HUB_FILE, title="GSM8K", fix=fix)
