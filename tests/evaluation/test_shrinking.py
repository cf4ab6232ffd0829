"""Memory that runs out in the middle of a task: smaller batches, every answer once, and it is recorded."""

from collections.abc import Callable, Sequence

import pytest
import torch

from quantbench.decoding import Decoder, FinishReason, Generation, Request
from quantbench.evaluation import shrinking
from quantbench.evaluation.evaluate import noted
from quantbench.evaluation.shrinking import answer_all
from quantbench.tasks import load_task
from tests.engine.models import prompts
from tests.engine.test_batch_invariance import COMPILED, on_cpu


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no device's memory to be given back, and collecting takes its time."""
    monkeypatch.setattr(shrinking, "free_memory", lambda: None)


CUDA = torch.OutOfMemoryError("CUDA out of memory")
ERRORS = [
    CUDA,
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:123] DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("CUDA error: out of memory"),
]


class Small:
    """A decoder whose memory holds a few rows; it answers in batches, and runs out in the middle of one."""

    def __init__(self, rows: int, *, after: int = 0, error: Exception = CUDA) -> None:
        self.rows, self.after, self.error = rows, after, error
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
                raise self.error
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


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whoever_says_that_memory_ran_out_is_believed(error: Exception) -> None:
    answers, used, _ = run(Small(3, after=2, error=error))
    assert (answers, used) == ([answer(n) for n in range(10)], 2)


@COMPILED
def test_a_batch_invariant_engine_gives_the_same_answers_after_memory_ran_out() -> None:
    decoder = on_cpu()
    assert decoder.batch_invariant
    texts = prompts((3, 17, 1, 9, 5, 4))
    asked = [Request(prompt_ids=text, max_new_tokens=7) for text in texts]
    whole = decoder.generate(asked, batch_size=6)
    tight = Tight(decoder, rows=2)
    found, used = answer_all(tight, asked.__getitem__, len(asked), 6, lambda place, generation: None)
    assert (found, used, tight.refused) == (whole, 1, 2)


class Tight:
    """A real decoder on a device whose memory runs out in the middle, where more rows are asked for."""

    def __init__(self, decoder: Decoder, rows: int) -> None:
        self._decoder, self._rows, self.refused = decoder, rows, 0

    def generate(
        self,
        requests: Sequence[Request],
        *,
        batch_size: int,
        on_first_token: Callable[[], None] | None = None,
        on_finish: Callable[[int, Generation], None] | None = None,
    ) -> list[Generation]:
        def finish(place: int, generation: Generation) -> None:
            if on_finish:
                on_finish(place, generation)
            if batch_size >= self._rows + 1:
                self.refused += 1
                raise CUDA

        return self._decoder.generate(requests, batch_size=batch_size, on_finish=finish)

    def __getattr__(self, name: str) -> object:
        return getattr(self._decoder, name)


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
