"""The generator: what it draws, and that the evaluation is held out of training."""

import doctest
import hashlib
import random
from typing import Any

import pytest
from training.examples import FAMILIES, Part, draw_examples, draw_from, part_of
from training.family import Example, phrase, reference
from training.quickeval import Generated, generate_problems

from quantbench.tasks.quickeval import load_quickeval


@pytest.fixture(scope="module")
def problems() -> list[Generated]:
    return generate_problems()


@pytest.fixture(scope="module")
def trained() -> list[Example]:
    """A sample of the training part from several seeds and chunks."""
    return [
        example
        for seed, chunk in ((1, 1), (1, 200), (2, 1), (77, 5))
        for example in draw_examples(Part.TRAINING, seed=seed, chunk=chunk, count=1500)
    ]


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_every_evaluation_problem_is_of_the_evaluation_part(problems: list[Generated]) -> None:
    assert {part_of(problem.member) for problem in problems} == {Part.EVALUATION}


def test_a_members_part_does_not_depend_on_its_phrasing() -> None:
    rng = random.Random(3)
    for family in FAMILIES:
        member = draw_from(Part.EVALUATION, family, rng)
        phrasings = {phrase(member, rng).phrasing for _ in range(8)}
        assert len(phrasings) > 1
        assert part_of(member) is Part.EVALUATION


def test_no_combination_of_the_evaluation_is_in_the_training_stream(
    problems: list[Generated], trained: list[Example]
) -> None:
    held_out = {problem.example.key for problem in problems}
    assert not held_out & {example.key for example in trained}


def test_no_prompt_of_the_evaluation_is_in_the_training_stream(
    problems: list[Generated], trained: list[Example]
) -> None:
    held_out = {_sha(problem.example.prompt) for problem in problems}
    assert not held_out & {_sha(example.prompt) for example in trained}


def test_a_training_example_passes_its_own_doctests(trained: list[Example]) -> None:
    runner = doctest.DocTestRunner(verbose=False)
    for example in trained[:300]:
        space: dict[str, Any] = {}
        exec(example.prompt + example.solution, space)
        tests = doctest.DocTestParser().get_doctest(
            space[example.entry_point].__doc__, space, "example", None, 0
        )
        assert runner.run(tests).failed == 0, example.prompt


def test_the_same_seed_and_chunk_give_the_same_examples() -> None:
    first = list(draw_examples(Part.TRAINING, seed=4, chunk=9, count=50))
    assert first == list(draw_examples(Part.TRAINING, seed=4, chunk=9, count=50))


def test_another_chunk_gives_other_examples() -> None:
    first = {e.prompt for e in draw_examples(Part.TRAINING, seed=4, chunk=9, count=50)}
    assert not first & {e.prompt for e in draw_examples(Part.TRAINING, seed=4, chunk=10, count=50)}


def test_the_shipped_file_is_what_the_generator_writes(problems: list[Generated]) -> None:
    shipped = load_quickeval().problems
    rows = [problem.row(number) for number, problem in enumerate(problems)]
    assert [(p.task_id, p.prompt, p.canonical_solution, p.test, p.entry_point) for p in shipped] == [
        tuple(row.values()) for row in rows
    ]


def test_a_members_reference_computes_what_its_body_says() -> None:
    family = next(f for f in FAMILIES if f.name == "filter_list")
    member = draw_from(Part.TRAINING, family, random.Random(0))
    expected = [x for x in range(-50, 50) if eval(member.chosen["p"].code.replace("@x", "x"), {"x": x})]
    assert reference(member)(list(range(-50, 50))) == expected
