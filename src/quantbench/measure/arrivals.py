"""A server under requests that arrive at random times: a Poisson process of each asked rate. Raw times only.

The definitions are those of vLLM's `bench serve`: a request's time to first token runs from its sending,
its time per output token is what follows over the tokens but the first, and the duration ends with the last
answer. (GuideLLM's time per output token has the first one in it.) Requests are sent when they arrive,
however many are still being answered; with one seed they arrive when vLLM's would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.decoding import Request, TakesArrivals, TimedAnswer
from quantbench.measure.load import load_between
from quantbench.measure.speed import Meters, forced_requests
from quantbench.plan import Trial
from quantbench.progress import Progress
from quantbench.records import ArrivalPoint

SEED = 7919  # of prompts, added to the trial's


def measure_arrivals(
    decoder: TakesArrivals, trial: Trial, progress: Progress, meters: Meters
) -> tuple[ArrivalPoint, ...]:
    """One point for each of the trial's request rates, at the headline's lengths."""
    points = []
    for rate in trial.arrivals.request_rates:
        progress(f"{rate:g} requests/s", 0, 0)
        points.append(point(decoder, trial, rate, meters))
    return tuple(points)


def point(decoder: TakesArrivals, trial: Trial, rate: float, meters: Meters) -> ArrivalPoint:
    """Requests at one rate, each a prompt of its own, and what else kept the machine busy meanwhile."""
    count, speed = trial.arrivals.requests, trial.speed
    requests = requests_of(decoder, trial, count, rate)
    before = meters.load()
    found = timed_answers(decoder, requests, arrival_times(rate, count, trial.generation.seed), meters)
    load = load_between(before, meters.load(), found.duration_s, meters.threads)
    answers = found.answers
    done = [answer for answer in answers if answer.failure is None]
    return ArrivalPoint(
        rate=rate,
        prompt_tokens=speed.prompt_tokens[0],
        new_tokens=speed.new_tokens,
        duration_s=found.duration_s,
        ttft_s=tuple(answer.first_s - answer.sent_s for answer in done),
        decode_s=tuple(answer.last_s - answer.first_s for answer in done),
        late_s=max((answer.sent_s - answer.due_s for answer in answers), default=0.0),
        steal_share=load.stolen,
        foreign_cores=load.foreign_cores,
        failed=len(answers) - len(done),
        failure=next((answer.failure for answer in answers if answer.failure), None),
    )


@dataclass(frozen=True, slots=True)
class TimedAnswers:
    """All requests of one rate, and the seconds from the start of the test to the last answer."""

    answers: list[TimedAnswer]
    duration_s: float


def timed_answers(
    decoder: TakesArrivals, requests: Sequence[Request], times: Sequence[float], meters: Meters
) -> TimedAnswers:
    """Send each request at its time and wait for all answers."""
    start = meters.wall()
    answers = decoder.answer_arrivals(requests, times)
    return TimedAnswers(answers, max(meters.wall() - start, 1e-9))


def arrival_times(rate: float, count: int, seed: int) -> list[float]:
    """Seconds from the start at which requests arrive: a Poisson process that ends at `count / rate`.

    The scaling to that end is vLLM's (`get_request` of its `benchmarks/serve.py`), so that the rate of a few
    requests is the asked one.
    """
    import numpy as np

    gaps = np.random.RandomState(seed % 2**32).gamma(1.0, 1.0 / rate, size=count)
    times = np.cumsum(gaps)
    return [float(moment) for moment in times * (count / rate / times[-1])]


def requests_of(decoder: TakesArrivals, trial: Trial, count: int, rate: float) -> Sequence[Request]:
    """As many requests of the headline's lengths, no two of them alike."""
    prompt = trial.speed.prompt_tokens[0]
    seed = trial.generation.seed + SEED + round(1000 * rate)
    return forced_requests(decoder, count, prompt, trial.speed.new_tokens, seed)
