"""quickeval: 164 small generated Python problems that the built-in model can partly solve, offline.

It has HumanEval's format and nothing else of it: its pass@1 shows what quantizing did to the built-in
model, and cannot be compared with HumanEval or any other benchmark. The problems are written by
training/quickeval.py; none of their solutions was in the built-in model's training.
"""

from importlib import resources
from pathlib import Path

from quantbench.tasks.problem import Problem, PromptProtocol, Task
from quantbench.tasks.problem_file import content_digest, read_problems

NOTE = "quickeval is generated for the built-in model and not comparable with HumanEval"

STOPS = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\nif __name__", "\nprint(", "\n>>> ")


def prompt_text(problem: Problem) -> str:
    """The prompt as it stands: it ends with the docstring's line, and the body comes next."""
    return problem.prompt


PROTOCOL = PromptProtocol(
    name="completion-as-is", version=1, stops=STOPS, max_new_tokens=128, prompt=prompt_text
)


def load_quickeval(data: str | None = None) -> Task:
    """quickeval from this package, or other problems in its format from `data`; TaskError if unreadable."""
    path = Path(data) if data else Path(str(resources.files("quantbench") / "assets" / "quickeval.jsonl"))
    problems = read_problems(path)
    return Task(
        name="quickeval",
        problems=problems,
        protocol=PROTOCOL,
        data_sha256=content_digest(problems),
        comparable=False,
        note=NOTE,
    )
