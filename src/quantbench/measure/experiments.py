"""The headline's decode step with more rows and at a longer context. Raw times; `analysis` judges.

What bounds a step shows in what changes it: arithmetic of each row takes longer with more rows, attention
with a longer context, reading the weights with neither.
"""

from statistics import median

from quantbench.decoding import Decoder
from quantbench.measure.speed import Meters, meters_of, sweep
from quantbench.plan import Trial
from quantbench.progress import Progress
from quantbench.records import SpeedPoint

TIMES = 4  # rows, and tokens of context, against the headline's
TOKENS = (9, 33)  # of one run: at least and at most
RUN_S = 0.5  # that a run's decoding may take, and all of an experiment's repetitions but the second
LONGEST_S = 20.0  # that all runs of one experiment may take; a slower one is left out


def measure_experiments(
    decoder: Decoder, trial: Trial, headline: SpeedPoint, progress: Progress, meters: Meters | None = None
) -> tuple[SpeedPoint, ...]:
    """A point with TIMES the rows and one with TIMES the prompt, save those that the sweep holds already.

    What would take longer than LONGEST_S or more positions than the model has is left out, too.
    """
    meters = meters or meters_of(decoder.device)
    if not headline.decode_s or headline.new_tokens < 2:
        return ()
    found: list[SpeedPoint] = []
    step_s = median(headline.decode_s) / (headline.new_tokens - 1)
    new = round(min(TOKENS[1], max(TOKENS[0], RUN_S / step_s), trial.speed.new_tokens))
    for batch, prompt in wanted(trial, headline, decoder.max_positions - new):
        runs_s = 3 * TIMES * (median(headline.ttft_s) + new * step_s / 2)
        if runs_s > LONGEST_S:
            continue
        asked = trial.changed(
            batch_sizes=(batch,), prompt_tokens=(prompt,), new_tokens=new, speed_budget_s=RUN_S
        )
        found += sweep(decoder, asked, progress, meters)
    return tuple(found)


def wanted(trial: Trial, headline: SpeedPoint, longest: int) -> list[tuple[int, int]]:
    """(batch size, prompt length) of each experiment that the sweep does not hold already."""
    batch, prompt = headline.batch_size, headline.prompt_tokens
    more_rows, longer = trial.speed.batch_sizes, trial.speed.prompt_tokens
    asked = [] if any(size > batch for size in more_rows) else [(TIMES * batch, prompt)]
    context = min(TIMES * prompt, longest)
    if context >= 2 * prompt and not any(length >= 2 * prompt for length in longer):
        asked.append((batch, context))
    return asked
