"""The text of an answer: whatever the decoder and wherever the prompt ends, concatenation is exact."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from quantbench.evaluation.answers import StopStrings, answer_text
from tests.decoders import DECODERS

STOPS = ("\ndef ", "\n def", "def", "\nx", " x", "✓x", "é", "x. ", "n x", "\n\n\n", "\n    return x * 2")
PIECES = ("\ndef ", "\n def", "    return x", "return", " x", "x", "✓x", "✓", "é", "x. ", "\n", "  ", " * 2")
PROMPTS = ("def x", "x\n\n", "x ", "turn", "def x():\n" + " " * 30)
LONG = settings(max_examples=40, deadline=None)
anyone = pytest.mark.parametrize("tokenizer", DECODERS.values(), ids=DECODERS.keys())


def tokens_of(tokenizer: Tokenizer, numbers: Sequence[int]) -> list[int]:
    """Any tokens at all, those that matter often: spaces, newlines, parts of characters, special ones."""
    texts = [" ", "\n", "é", "✓", "def", "x", "\ndef ", ". "]
    often = [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False).ids]
    often.append(tokenizer.get_vocab_size() - 1)
    size = tokenizer.get_vocab_size()
    return [often[n // 2 % len(often)] if n % 2 else n // 2 % size for n in numbers]


numbers = st.lists(st.integers(0, 2000), min_size=1, max_size=60)


@anyone
@LONG
@given(numbers=numbers, split=st.integers(0, 60))
def test_prompt_and_answer_together_are_the_whole_text(
    tokenizer: Tokenizer, numbers: list[int], split: int
) -> None:
    ids = tokens_of(tokenizer, numbers)
    prompt, answer = ids[:split], ids[split:]
    whole, before = tokenizer.decode(ids), tokenizer.decode(prompt)
    text = answer_text(tokenizer, prompt, answer)
    assert whole.endswith(text)
    if whole.startswith(before):
        assert before + text == whole
    else:  # the prompt ended within a character, or in a mark that its next token changed
        assert before.startswith(whole[: len(whole) - len(text)])


@anyone
@pytest.mark.parametrize("step", [1, 2, 3, 8])
def test_a_stop_is_seen_in_the_step_that_brings_it(tokenizer: Tokenizer, step: int) -> None:
    draw = random.Random(step)
    for _ in range(150):
        stop = draw.choice(STOPS)
        others = [piece for piece in PIECES if stop not in piece]
        text = "".join(draw.choices(others, k=draw.randrange(9))) + stop
        answer = tokenizer.encode(text, add_special_tokens=False).ids
        before = tokenizer.encode(draw.choice(PROMPTS), add_special_tokens=False).ids or [0]
        assert seen_late(tokenizer, before, answer, stop, step) is None


def seen_late(
    tokenizer: Tokenizer, prompt: list[int], answer: list[int], stop: str, step: int
) -> tuple[str, int] | None:
    """Where a check differs from a look at the whole text."""
    check = StopStrings(tokenizer, [stop], prompt)
    for end in range(step, len(answer) + step, step):
        held = stop in answer_text(tokenizer, prompt, answer[:end])
        if check(answer[:end], len(answer[:end]) - end + step) != held:
            return stop, end
        if held:
            break
    return None


@anyone
@LONG
@given(numbers=numbers, stop=st.sampled_from(STOPS), step=st.sampled_from([1, 3, 8]))
def test_a_stop_that_is_not_there_is_never_seen(
    tokenizer: Tokenizer, numbers: list[int], stop: str, step: int
) -> None:
    answer = tokens_of(tokenizer, numbers)
    check = StopStrings(tokenizer, [stop], answer[:1])
    for end in range(step, len(answer) + 1, step):
        if check(answer[:end], step):
            assert stop in answer_text(tokenizer, answer[:1], answer[:end])


@pytest.mark.parametrize("name", ["strip", "metaspace"])
@pytest.mark.parametrize("answer", ["    return x * 2", " x", "\n    return x", "x", "   "])
def test_spaces_of_an_answers_first_line_are_kept(name: str, answer: str) -> None:
    tokenizer = DECODERS[name]
    prompt, whole = tokenizer.encode("def f(x):\n"), tokenizer.encode("def f(x):\n" + answer)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    assert answer_text(tokenizer, prompt.ids, whole.ids[len(prompt.ids) :]) == answer


def test_an_unfinished_character_at_the_end_is_marked_and_nothing_before_it_changes() -> None:
    tokenizer = DECODERS["byte level"]
    ids = tokenizer.encode("x = '✓").ids
    assert answer_text(tokenizer, ids[:2], ids[2:-1]) == "= '\ufffd"


def test_a_character_across_the_boundary_belongs_to_the_answer() -> None:
    tokenizer = DECODERS["byte level"]
    ids = tokenizer.encode("x✓y").ids
    assert answer_text(tokenizer, ids[:2], ids[2:]) == "✓y"


class Counted:
    """A tokenizer that counts the tokens it decodes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.decoded = 0

    def decode(self, ids: Sequence[int]) -> str:
        self.decoded += len(ids)
        return str(self.tokenizer.decode(list(ids)))


@pytest.mark.parametrize("text", ["x = 2\n", "\n", " ", "é", "✓"])
@pytest.mark.parametrize("name", ["strip", "byte level"])
def test_looking_for_stops_costs_in_proportion_to_the_answers_length(name: str, text: str) -> None:
    counted = Counted(DECODERS[name])
    ids = DECODERS[name].encode(text * 2000).ids[:2000]
    check = StopStrings(counted, ["\ndef "], DECODERS[name].encode("def f():" + " " * 40).ids)  # type: ignore[arg-type]
    counted.decoded = 0
    for end in range(8, len(ids) + 1, 8):
        assert not check(ids[:end], 8)
    assert counted.decoded < 16 * len(ids)


def test_a_request_that_is_generated_again_starts_anew() -> None:
    tokenizer = DECODERS["byte level"]
    check = StopStrings(tokenizer, ["\ndef "], tokenizer.encode("x").ids)
    ids = tokenizer.encode("a\ndef f").ids
    assert check(ids, len(ids))
    assert not check(ids[:2], 2)
    assert check(ids, len(ids) - 2)
