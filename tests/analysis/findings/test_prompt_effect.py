from quantbench.analysis.comparison.rows import read_results
from quantbench.analysis.findings.prompt_effect import prompt_effects
from quantbench.records import PromptEffect, Record
from tests.report_records import record, speed_point

EFFECT = PromptEffect(bits=8, ttft_s=(0.02, 0.021), exact_ttft_s=(0.04, 0.041), kl=(1e-4, 3e-4), tokens=120)


def sentence(effect: PromptEffect | None, **sections: object) -> list[str]:
    made: Record = record("int8", device="cpu", prompt_effect=effect, **sections)
    return [text for _, text in prompt_effects(read_results([made], "fp16"))]


def test_cost_gain_and_the_way_back_are_told() -> None:
    (text,) = sentence(EFFECT)
    assert "with 8 bits (--exact-prompts turns it off)" in text
    assert "0.51×" in text and "overlap" not in text
    assert "mean KL of 2.0e-04 nats (at most 3.0e-04 in one of 2 problems, 120 tokens)" in text


def test_times_that_overlap_are_told_so() -> None:
    (text,) = sentence(EFFECT.model_copy(update={"exact_ttft_s": (0.0205, 0.03)}))
    assert "whose ranges overlap" in text


def test_times_beside_other_programs_are_not_told() -> None:
    busy = speed_point(40.0).model_copy(update={"queue_share": (0.5,) * 8})
    (text,) = sentence(EFFECT, speed=(busy,))
    assert "first token" not in text and "mean KL" in text


def test_prompts_with_all_bits_have_no_sentence() -> None:
    assert sentence(None) == []
