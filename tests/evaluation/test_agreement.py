"""Greedy answers of two engines are compared token by token, with the margin where they part."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.decoding import FinishReason
from quantbench.evaluation.agreement import compare_answers, first_difference
from quantbench.evaluation.extraction import Extracted
from quantbench.evaluation.generate import Sample
from quantbench.records import Agreement, Parting
from quantbench.tasks import load_task
from tests.builders import make_trial

TASK = load_task("quickeval")


class Margins:
    """A decoder whose logits are the tokens' own numbers over ten."""

    def score(
        self, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int] | None = None
    ) -> Iterator[torch.Tensor]:
        return (torch.arange(20.0).expand(len(ids), 20) / 10 for ids in sequences)


def samples(*answers: Sequence[int]) -> list[Sample]:
    return [
        Sample(
            problem=problem,
            index=0,
            text=str(list(ids)),
            extracted=Extracted(text=""),
            finish_reason=FinishReason.EOS,
            tokens=len(ids),
            prompt_ids=(1, 2),
            token_ids=tuple(ids),
        )
        for problem, ids in zip(TASK.problems, answers, strict=False)
    ]


def compared(folder: Path, engine: str, *answers: Sequence[int], **changes: Any) -> tuple[Agreement, ...]:
    name = {"native": "quantbench"}.get(engine, engine)
    trial = make_trial(method="stored", engine=engine, row=f"stored @ {name}", **changes)
    return compare_answers(trial, TASK, samples(*answers), Margins(), folder)  # type: ignore[arg-type]


def test_the_first_engine_has_nobody_to_agree_with(tmp_path: Path) -> None:
    assert compared(tmp_path, "native", (1, 2)) == ()


def test_identical_answers_are_counted_and_others_part_at_a_token_with_a_margin(tmp_path: Path) -> None:
    compared(tmp_path, "llama.cpp", (5, 6), (5, 3, 9))
    (found,) = compared(tmp_path, "native", (5, 6), (5, 7, 9))
    assert (found.row, found.answers, found.identical) == ("stored @ llama.cpp", 2, 1)
    name = TASK.problems[1].task_id
    assert found.partings == (Parting(task_id=name, token=1, margin=found.partings[0].margin),)
    assert found.partings[0].margin == pytest.approx(0.4)


def test_an_answer_that_goes_on_behind_the_others_parts_at_its_end_without_a_margin(tmp_path: Path) -> None:
    compared(tmp_path, "llama.cpp", (5, 6))
    (found,) = compared(tmp_path, "native", (5, 6, 7))
    assert (found.partings[0].token, found.partings[0].margin) == (2, None)


@pytest.mark.parametrize("changes", [{"model": "other"}, {"max_new_tokens": 9}, {"revision": "x"}])
def test_answers_to_other_questions_are_not_compared(tmp_path: Path, changes: dict[str, Any]) -> None:
    compared(tmp_path, "llama.cpp", (5, 6), **changes)
    assert compared(tmp_path, "native", (5, 6)) == ()


def test_sampled_answers_are_not_compared(tmp_path: Path) -> None:
    compared(tmp_path, "llama.cpp", (5, 6), temperature=0.5)
    assert compared(tmp_path, "native", (5, 6), temperature=0.5) == ()


def test_a_damaged_file_of_answers_is_none(tmp_path: Path) -> None:
    compared(tmp_path, "llama.cpp", (5, 6))
    (path,) = (tmp_path / "answers").iterdir()
    path.write_text("{")
    assert compared(tmp_path, "native", (5, 6)) == ()


@pytest.mark.parametrize(("one", "other", "place"), [((), (), 0), ((1, 2), (1, 3), 1), ((1,), (1, 2), 1)])
def test_the_first_difference(one: Sequence[int], other: Sequence[int], place: int) -> None:
    assert first_difference(one, other) == place
