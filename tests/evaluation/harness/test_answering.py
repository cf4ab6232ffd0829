"""What a task asks of an answer is followed, or refused in one sentence."""

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from quantbench.errors import TaskError, UsageError
from quantbench.evaluation.harness.answering import AnswerStops, cut_at_stops, request_of, settings_of
from quantbench.evaluation.harness.names import parse_name
from quantbench.evaluation.harness.text import HarnessText

WORDS = {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "stop": 4, "[UNK]": 5}


def text(**changes: object) -> HarnessText:
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    fields = {"tokenizer": tokenizer, "name": "m", "eos_id": 1, "prefix_id": 0, "end_ids": frozenset({1})}
    return HarnessText(**fields | changes)  # type: ignore[arg-type]


def test_the_tasks_own_stops_length_and_sampling_are_followed() -> None:
    wanted = {"until": ["stop"], "max_gen_toks": 7, "do_sample": True, "temperature": 0.5, "top_p": 0.9}
    found = settings_of(wanted, text(), 256)
    assert found.stops == ("stop", "</s>")
    assert (found.max_new_tokens, found.temperature, found.top_p) == (7, 0.5, 0.9)


def test_without_sampling_an_answer_is_greedy_whatever_its_temperature() -> None:
    found = settings_of({"until": "a", "do_sample": False, "temperature": 0.7, "top_k": 5}, text(), 256)
    assert (found.temperature, found.top_p, found.max_new_tokens) == (0.0, 1.0, 256)


@pytest.mark.parametrize("name", ["num_beams", "repetition_penalty", "no_repeat_ngram_size", "top_k"])
def test_what_the_engine_cannot_do_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"asks lm-eval for {name}=3, which the engine cannot do"):
        settings_of({name: 3, "do_sample": True, "temperature": 1.0}, text(), 256)


def test_a_stop_that_is_a_special_token_ends_an_answer_by_its_id() -> None:
    assert settings_of({"until": ["<s>"]}, text(), 256).ends == {0, 1}


def test_a_prompt_is_cut_from_the_left_so_that_the_answer_has_room() -> None:
    settings = settings_of({"max_gen_toks": 4}, text(), 256)
    assert request_of("a b a b b", settings, text(), 6, 0).prompt_ids == (3, 3)
    with pytest.raises(UsageError, match="asks for 4 new tokens, but the model takes 4"):
        request_of("a", settings, text(), 4, 0)


def test_repeats_of_a_request_draw_with_seeds_of_their_own() -> None:
    settings = settings_of({}, text(), 4)
    seeds = {request_of("a", settings, text(), 16, index).seed for index in range(5)}
    assert len(seeds) == 5


def test_an_answer_ends_at_its_earliest_stop() -> None:
    assert AnswerStops(text(), ["stop"])([2, 4, 3], 3)
    assert not AnswerStops(text(), ["stop"])([2, 3], 2)
    assert cut_at_stops("a b stop c", ["stop", "b"]) == "a "


def test_a_text_that_begins_with_the_prefix_gets_no_second_one() -> None:
    from tokenizers.processors import TemplateProcessing

    known = text(bos="<s>")
    known.tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    assert known.encode("a") == [0, 2]
    assert known.encode("<s>a") == known.encode_prompt("<s>a") == [0, 2]
    assert known.encode("a", add_special_tokens=False) == [2]


def test_names_tell_task_chat_and_examples() -> None:
    plain, chat = parse_name("lm-eval:arc_easy"), parse_name("lm-eval-chat:gsm8k@5")
    assert (plain.task, plain.chat, plain.shots) == ("arc_easy", False, None)
    assert (chat.task, chat.chat, chat.shots) == ("gsm8k", True, 5)


@pytest.mark.parametrize("name", ["lm-eval:", "lm-eval:a@", "lm-eval:a@x", "lm-eval:a@-1", "lm-eval-chat:@5"])
def test_a_name_without_a_task_or_a_number_is_refused(name: str) -> None:
    with pytest.raises(TaskError, match="names no task of lm-eval"):
        parse_name(name)
