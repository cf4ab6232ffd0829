"""How many problems of a task were solved, from the outcomes of single programs. Compares nothing."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from quantbench.records import Completion, Outcome, TaskResult
from quantbench.stats import Interval, pass_at_k, wilson_interval

TITLES = {"humaneval": "HumanEval", "humaneval+": "HumanEval+", "mbpp+": "MBPP+", "gsm8k": "GSM8K"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One method on one task."""

    result: TaskResult
    problems: int
    per_problem: int  # completions a problem
    passed: int  # completions that passed
    total: int  # completions
    pass_at_1: float
    interval: Interval  # 95 %, over problems
    pass_at: Mapping[int, float]  # k above 1 -> pass@k, where there are several completions
    solved: (
        Mapping[str, tuple[int, int]] | None
    )  # problem -> completions passed, of how many; None: not known
    outcomes: Mapping[Outcome, int]
    cut: int  # completions that met the length limit

    @property
    def task(self) -> str:
        return self.result.task

    @property
    def rates(self) -> Mapping[str, float] | None:
        """Problem -> share of its completions that passed; None where it is not known."""
        if self.solved is None:
            return None
        return {problem: passed / total for problem, (passed, total) in self.solved.items()}

    @property
    def title(self) -> str:
        return task_title(self.task)


def task_title(task: str) -> str:
    """A task's name as headings show it."""
    return TITLES.get(task, task)


def read_score(result: TaskResult) -> Score | None:
    """The score of a task's result; None when nothing was run."""
    if not result.completions:
        return _known_total(result)
    solved: dict[str, list[bool]] = defaultdict(list)
    for completion in result.completions:
        solved[completion.task_id].append(completion.outcome is Outcome.PASSED)
    counts = {problem: (sum(passes), len(passes)) for problem, passes in solved.items()}
    mean = sum(passed / total for passed, total in counts.values()) / len(counts)
    per_problem = min(len(passes) for passes in solved.values())
    return Score(
        result=result,
        problems=len(counts),
        per_problem=per_problem,
        passed=sum(sum(passes) for passes in solved.values()),
        total=len(result.completions),
        pass_at_1=mean,
        # Completions of one problem are not independent: the interval counts problems.
        interval=wilson_interval(round(mean * len(counts)), len(counts)),
        pass_at={k: _pass_at(solved, k) for k in _several(per_problem)},
        solved=counts,
        outcomes=Counter(completion.outcome for completion in result.completions),
        cut=sum(_cut(completion) for completion in result.completions),
    )


def _known_total(result: TaskResult) -> Score | None:
    """A score of which only the number of solved problems is known."""
    if result.passed is None or not result.problems:
        return None
    return Score(
        result=result,
        problems=result.problems,
        per_problem=1,
        passed=result.passed,
        total=result.problems,
        pass_at_1=result.passed / result.problems,
        interval=wilson_interval(result.passed, result.problems),
        pass_at={},
        solved=None,
        outcomes={},
        cut=0,
    )


def _several(per_problem: int) -> tuple[int, ...]:
    """The k of pass@k to show beside pass@1."""
    usual = tuple(k for k in (10, 100) if k <= per_problem)
    return usual or ((per_problem,) if per_problem > 1 else ())


def _pass_at(solved: Mapping[str, list[bool]], k: int) -> float:
    return sum(pass_at_k(len(passes), sum(passes), k) for passes in solved.values()) / len(solved)


def _cut(completion: Completion) -> bool:
    return completion.finish_reason == "length"
