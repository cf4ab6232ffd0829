"""What fewer bits in prompts cost and gain, with a decoder whose prompts are coarse on purpose."""

from quantbench.measure.distance import ScoredText
from quantbench.measure.prompts import REPETITIONS, TEXTS, measure_prompt_divergence, measure_prompt_times
from quantbench.records import SpeedPoint
from tests.builders import make_trial
from tests.engine.models import prompts
from tests.engine.test_passes import coarse

HEADLINE = SpeedPoint(batch_size=1, prompt_tokens=16, new_tokens=9, ttft_s=(1.0,), decode_s=(1.0,))


def texts(count: int, prompt: int = 12) -> list[ScoredText]:
    return [ScoredText(name=str(ids), token_ids=ids, prompt_tokens=prompt) for ids in prompts((20,) * count)]


def test_both_ways_are_timed_as_often_and_the_decoder_is_left_as_it_was() -> None:
    decoder = coarse(exact_prompts=False)
    effect = measure_prompt_times(decoder, make_trial(), HEADLINE)
    assert effect is not None and effect.bits == 8
    assert len(effect.ttft_s) == len(effect.exact_ttft_s) == REPETITIONS
    assert decoder.exact_prompts is False


def test_predictions_after_coarse_prompts_move() -> None:
    kl, tokens = measure_prompt_divergence(coarse(exact_prompts=False), texts(TEXTS + 2))
    assert len(kl) == TEXTS and min(kl) > 0
    assert tokens == TEXTS * 8


def test_exact_prompts_have_no_such_effect() -> None:
    decoder = coarse(exact_prompts=True)
    assert measure_prompt_times(decoder, make_trial(), HEADLINE) is None
    assert measure_prompt_divergence(decoder, texts(1)) == ((), 0)


def test_texts_without_a_prompt_say_nothing_about_it() -> None:
    assert measure_prompt_divergence(coarse(exact_prompts=False), texts(2, prompt=0)) == ((), 0)
