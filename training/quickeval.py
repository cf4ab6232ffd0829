"""Writes the built-in task: 164 problems in HumanEval's format, from the evaluation part alone.

    python -m training.quickeval [FILE]

Every problem's test has at least eight assertions and rejects at least five wrong variants; a member for
which no such test is found is replaced by another one. The file depends on SEED and the generator only.
"""

import doctest
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.examples import FAMILIES, MAX_CHARACTERS, WEIGHTS, Part, draw_from
from training.families_induction import INDUCTION_FAMILIES
from training.family import Example, Family, Member, draw_member, phrase, reference
from training.variants import guarded, wrong_variants

SEED = 164
PROBLEMS = 164
MIN_ASSERTIONS = 8
MAX_ASSERTIONS = 14
MIN_REJECTED = 5
MAX_ANSWER = 160  # characters of an expected value
DESTINATION = Path(__file__).parents[1] / "src" / "quantbench" / "assets" / "quickeval.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A problem, and where it came from; `rejected` are wrong bodies that its test tells apart."""

    member: Member
    example: Example
    test: str
    rejected: tuple[str, ...]

    def row(self, number: int) -> dict[str, str]:
        return {
            "task_id": f"quickeval/{number}",
            "prompt": self.example.prompt,
            "canonical_solution": self.example.solution,
            "test": self.test,
            "entry_point": self.example.entry_point,
        }


def generate_problems(part: Part = Part.EVALUATION, count: int = PROBLEMS) -> list[Generated]:
    """Problems in their order, each family as often as its weight says, no member twice."""
    rng = random.Random(f"quickeval:{SEED}")
    problems: list[Generated] = []
    bodies: set[str] = set()
    for family in _families(count):
        problem = _new_problem(part, family, bodies, rng)
        bodies.add(problem.member.body)
        problems.append(problem)
    rng.shuffle(problems)
    return problems


def _families(count: int) -> list[Family]:
    """How often each family occurs: at least once, the rest by weight."""
    shares = [(count - len(FAMILIES)) * weight / sum(WEIGHTS) for weight in WEIGHTS]
    counts = [1 + int(share) for share in shares]
    by_remainder = sorted(range(len(FAMILIES)), key=lambda i: shares[i] % 1, reverse=True)
    for index in by_remainder[: count - sum(counts)]:
        counts[index] += 1
    return [family for family, times in zip(FAMILIES, counts, strict=True) for _ in range(times)]


def _new_problem(part: Part, family: Family, bodies: set[str], rng: random.Random) -> Generated:
    for _ in range(500):
        member = draw_from(part, family, rng)
        if member.body in bodies:
            continue
        example = phrase(member, rng)
        if len(example.prompt) + len(example.solution) > MAX_CHARACTERS:
            continue
        problem = _with_test(member, example, rng)
        if problem and not (family in INDUCTION_FAMILIES and _ambiguous(problem, rng)):
            return problem
    raise ValueError(f"no testable problem of family {family.name} found")


def _with_test(member: Member, example: Example, rng: random.Random) -> Generated | None:
    function = reference(member)
    pool = [(call, function(*call)) for call in _calls(member, rng)]
    pool = [(call, answer) for call, answer in pool if len(repr(answer)) <= MAX_ANSWER]
    variants = wrong_variants(member, rng)
    chosen, rejected = _choose(pool, variants, len(member.family.takes))
    answers = {repr(answer) for _, answer in chosen}
    least = 2 if member.family.returns == "bool" else 4
    if len(chosen) < MIN_ASSERTIONS or len(rejected) < MIN_REJECTED or len(answers) < least:
        return None
    lines = [f"    assert candidate({', '.join(map(repr, call))}) == {answer!r}" for call, answer in chosen]
    test = "def check(candidate):\n" + "\n".join(lines) + "\n"
    return Generated(member=member, example=example, test=test, rejected=tuple(rejected))


def _ambiguous(problem: Generated, rng: random.Random) -> bool:
    """Whether another member of the family fits the prompt's examples and yet fails the test."""
    member, name = problem.member, problem.example.entry_point
    shown = doctest.DocTestParser().get_examples(problem.example.prompt)
    for body in {draw_member(member.family, rng).body for _ in range(1500)} - {member.body}:
        space = {name: guarded(body, len(member.family.takes))}
        if all(_answers(space, one) for one in shown):
            exec(problem.test, space)
            try:
                space["check"](space[name])
            except Exception:  # it fits the examples but is wrong
                return True
    return False


def _answers(space: dict[str, Any], example: doctest.Example) -> bool:
    try:
        return bool(repr(eval(example.source, space)) == example.want.strip())
    except Exception:  # a variant may do anything
        return False


def _calls(member: Member, rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Edge cases first, then random arguments, no two the same."""
    takes = member.family.takes
    edges = list(itertools.product(*(kind.edges for kind in takes)))
    if len(takes) > 1:
        edges = rng.sample(edges, 8)
    seen = set()
    drawn = (tuple(kind.draw(rng, member.hints, 7) for kind in takes) for _ in range(200))
    for call in itertools.chain(edges, drawn):
        if repr(call) not in seen:
            seen.add(repr(call))
            yield call


def _choose(
    pool: list[tuple[tuple[Any, ...], Any]], variants: list[str], arguments: int
) -> tuple[list[tuple[tuple[Any, ...], Any]], list[str]]:
    """Four edge cases, then whatever rejects the most variants, then more until there are enough."""
    alive = {body: guarded(body, arguments) for body in variants}
    chosen: list[tuple[tuple[Any, ...], Any]] = []
    rejected: list[str] = []
    rest = list(pool)

    def add(case: tuple[tuple[Any, ...], Any]) -> None:
        chosen.append(case)
        rest.remove(case)
        for body in [body for body, function in alive.items() if fails(function, case)]:
            rejected.append(body)
            del alive[body]

    for case in rest[:4]:
        add(case)
    while alive and rest and len(chosen) < MAX_ASSERTIONS:
        best = max(rest[:80], key=lambda case: sum(fails(f, case) for f in alive.values()))
        if not any(fails(function, best) for function in alive.values()):
            break
        add(best)
    informative = [case for case in rest if case[1]] or rest
    for case in informative[: max(0, MIN_ASSERTIONS - len(chosen))]:
        add(case)
    return chosen, rejected


def fails(function: Callable[..., Any], case: tuple[tuple[Any, ...], Any]) -> bool:
    """Whether the function gives another answer than the expected one, or none."""
    call, answer = case
    try:
        return bool(function(*call) != answer)
    except Exception:  # a wrong variant may do anything
        return True


def main(destination: Path = DESTINATION) -> None:
    rows = [problem.row(number) for number, problem in enumerate(generate_problems())]
    destination.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
