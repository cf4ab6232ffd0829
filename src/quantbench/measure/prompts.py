"""What it costs and gains that prompts are multiplied with fewer bits than new tokens. Raw values only.

The same decoder answers both ways, in turns: the time until the first token, and how far its predictions
after a prompt move when that prompt's activations have all their bits.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from quantbench.decoding import Decoder, Phase
from quantbench.measure.predictions import ScoredText
from quantbench.measure.speed import Meters, PointTimes, forced_requests, meters_of, run_once
from quantbench.plan import Trial
from quantbench.records import PromptEffect, SpeedPoint

REPETITIONS = 5  # of each way
TEXTS = 8


@runtime_checkable
class DropsPromptBits(Protocol):
    """A Decoder that can be told to keep all bits of prompts' activations."""

    exact_prompts: bool


def drops_bits(decoder: Decoder) -> bool:
    """Whether prompts have fewer bits now, and could have all."""
    bits = decoder.activation_bits()
    return isinstance(decoder, DropsPromptBits) and bits[Phase.PROMPT] < bits[Phase.DECODE]


def measure_prompt_times(
    decoder: Decoder, trial: Trial, headline: SpeedPoint, meters: Meters | None = None
) -> PromptEffect | None:
    """Times to first token at the headline both ways; None where prompts have all bits anyway."""
    if not drops_bits(decoder):
        return None
    meters = meters or meters_of(decoder.device)
    requests = forced_requests(decoder, headline.batch_size, headline.prompt_tokens, 2, trial.generation.seed)
    bits = decoder.activation_bits()[Phase.PROMPT]
    times = {False: PointTimes(), True: PointTimes()}
    for turn in range(REPETITIONS + 1):
        for exact in times:
            _set_exact(decoder, exact)
            run_once(decoder, requests, times[exact] if turn else PointTimes(), meters)
    _set_exact(decoder, False)
    return PromptEffect(bits=bits, ttft_s=tuple(times[False].ttft_s), exact_ttft_s=tuple(times[True].ttft_s))


def measure_prompt_divergence(decoder: Decoder, texts: Sequence[ScoredText]) -> tuple[tuple[float, ...], int]:
    """Mean KL (exact || as it runs) of a few texts' predictions after their prompts, nats, and the tokens."""
    asked = [text for text in texts if 0 < text.prompt_tokens < len(text.token_ids)][:TEXTS]
    if not asked or not drops_bits(decoder):
        return (), 0
    sequences, prompts = [t.token_ids for t in asked], [t.prompt_tokens for t in asked]
    found, tokens = [], 0
    for sequence, prompt in zip(sequences, prompts, strict=True):
        logs = []
        for exact in (True, False):
            _set_exact(decoder, exact)
            (logits,) = decoder.score([sequence], [prompt])
            logs.append(logits[prompt - 1 : -1].double().log_softmax(dim=-1))
        divergence = (logs[0].exp() * (logs[0] - logs[1])).sum(dim=-1).clamp(min=0.0)
        found.append(float(divergence.mean()))
        tokens += len(divergence)
    _set_exact(decoder, False)
    return tuple(found), tokens


def _set_exact(decoder: Decoder, exact: bool) -> None:
    assert isinstance(decoder, DropsPromptBits)
    decoder.exact_prompts = exact
