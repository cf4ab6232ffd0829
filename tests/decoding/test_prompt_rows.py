"""Rows of a cache that share prompts: whatever comes and goes, each row ends up with its own prompt."""

from hypothesis import given
from hypothesis import strategies as st

from quantbench.decoding.prompt_rows import PromptRows, fitting

ROWS = 5
PROMPTS = [(number,) * (number + 1) for number in range(3)]


class Cache:
    """What lies in each row, written as an engine writes it."""

    def __init__(self, prompts: list[tuple[int, ...]]) -> None:
        self.rows: list[tuple[int, ...] | None] = [None] * ROWS
        self.computed = 0
        self.prompts = PromptRows(prompts)

    def admit(self, prompts: list[tuple[int, ...]], rows: list[int]) -> None:
        sources = self.prompts.admit(prompts, rows)
        for prompt, row, source in zip(prompts, rows, sources, strict=True):
            if source is None:
                self.rows[row] = prompt
                self.computed += 1
        for row, source in zip(rows, sources, strict=True):
            if source is not None and source != row:
                self.rows[row] = self.rows[source]

    def move(self, source: int, target: int) -> None:
        self.rows[target] = self.rows[source]
        self.prompts.move(source, target)


@given(st.data())
def test_every_row_gets_its_prompt_whatever_rows_come_and_move(data: st.DataObject) -> None:
    asked = data.draw(st.lists(st.sampled_from(PROMPTS), max_size=30))
    cache, waiting = Cache(asked), list(asked)
    while waiting:
        rows = data.draw(st.lists(st.integers(0, ROWS - 1), min_size=1, unique=True))[: len(waiting)]
        group, waiting = waiting[: len(rows)], waiting[len(rows) :]
        cache.admit(group, rows)
        assert [cache.rows[row] for row in rows] == group
        if data.draw(st.booleans()):
            cache.move(*data.draw(st.permutations(range(ROWS)))[:2])


def test_answers_to_one_prompt_compute_it_once_when_rows_leave_one_by_one() -> None:
    asked = [prompt for prompt in PROMPTS for _ in range(7)]
    cache, waiting = Cache(asked), asked[ROWS:]
    cache.admit(asked[:ROWS], list(range(ROWS)))
    for number, prompt in enumerate(waiting):
        cache.admit([prompt], [number % ROWS])
    assert cache.computed == len(PROMPTS)


def test_one_row_alone_computes_a_prompt_once() -> None:
    asked = [prompt for prompt in PROMPTS for _ in range(4)]
    cache = Cache(asked)
    for prompt in asked:
        cache.admit([prompt], [0])
    assert cache.computed == len(PROMPTS)


def test_a_budget_counts_each_prompt_once_and_lets_one_through() -> None:
    long, short = (1,) * 10, (2,) * 3
    assert fitting([long, long, long, short, short], 13) == 5
    assert fitting([long, long, short], 12) == 2
    assert fitting([long], 1) == 1
    assert fitting([], 1) == 0
