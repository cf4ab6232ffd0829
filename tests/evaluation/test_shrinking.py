"""Memory that runs out in the middle of a task: smaller batches, every answer once, and it is recorded."""

from collections.abc import Callable, Sequence

import pytest
import torch

from quantbench.decoding import FinishReason, Generation, Request
from quantbench.evaluation import shrinking
from quantbench.evaluation.evaluate import noted
from quantbench.evaluation.shrinking import answer_all
from quantbench.tasks import load_task


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no device's memory to be given back, and collecting takes its time."""
    monkeypatch.setattr(shrinking, "free_memory", lambda: None)


class Small:
    """A decoder whose memory holds a few rows; it answers in batches, and runs out in the middle of one."""

    def __init__(self, rows: int, *, after: int = 0) -> None:
        self.rows, self.after = rows, after
        self.asked: list[int] = []  # batch sizes
        self.generated: list[int] = []

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_finish: Callable[[int, Generation], None],
    ) -> list[Generation]:
        self.asked.append(batch_size)
        answers = []
        for place, request in enumerate(requests):
            if batch_size > self.rows and len(self.generated) >= self.after:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.generated.append(request.prompt_ids[0])
            answers.append(answer(request.prompt_ids[0]))
            on_finish(place, answers[-1])
        return answers


def answer(number: int) -> Generation:
    return Generation(token_ids=(number, number), finish_reason=FinishReason.EOS)


def request(place: int) -> Request:
    return Request(prompt_ids=(place,), max_new_tokens=2)


def run(decoder: Small, count: int = 10, batch_size: int = 64) -> tuple[list[Generation], int, list[int]]:
    finished: list[int] = []
    answers, used = answer_all(
        decoder,  # type: ignore[arg-type]
        request,
        count,
        batch_size,
        lambda place, generation: finished.append(place),
    )
    return answers, used, finished


def test_with_room_nothing_changes() -> None:
    decoder = Small(64)
    answers, used, finished = run(decoder)
    assert (answers, used, decoder.asked) == ([answer(n) for n in range(10)], 64, [64])
    assert finished == list(range(10))


@pytest.mark.parametrize("after", [0, 3, 9])
@pytest.mark.parametrize("rows", [1, 5, 32])
def test_every_answer_comes_once_in_its_place_at_the_largest_half_that_fits(rows: int, after: int) -> None:
    decoder = Small(rows, after=after)
    answers, used, finished = run(decoder)
    assert answers == [answer(n) for n in range(10)]
    assert sorted(finished) == list(range(10))
    assert sorted(decoder.generated) == list(range(10))
    assert used == max(size for size in (64, 32, 16, 8, 4, 2, 1) if size <= rows)
    assert decoder.asked == sorted(decoder.asked, reverse=True)


def test_where_one_row_has_no_room_the_error_is_the_trials() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        run(Small(0))


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    class Broken(Small):
        def generate(self, *args: object, **kwargs: object) -> list[Generation]:
            raise RuntimeError("no such kernel")

    with pytest.raises(RuntimeError, match="no such kernel"):
        run(Broken(1))


def test_the_record_says_at_which_batch_the_rest_was_answered() -> None:
    task = load_task("quickeval", None)
    assert noted(task, 64, 64) == task.note
    assert "memory ran out at batch 64, so the rest was answered at batch 16" in str(noted(task, 64, 16))
