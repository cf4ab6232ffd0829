"""Raw times of forced-length generation over batch sizes and prompt lengths; computes no rates.

Prompts are random tokens, the same for every method. TTFT runs from handing over the prompts until the
first token of every row is on the host; the decode time from there until the last token of every row.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import median
from typing import Protocol

from quantbench.decoding import CompilesShapes, Decoder, Request, TimesItself, TimesRequests
from quantbench.errors import RefusedError
from quantbench.measure.load import LoadReading, load_between, read_load
from quantbench.measure.nvml import DriverView, most_foreign, total_joules
from quantbench.plan import PASSES_A_ROUND, Role, Trial
from quantbench.progress import Progress
from quantbench.records import METERED_S, SpeedPoint
from quantbench.settings import devices_of
from quantbench.stats import median_interval

PRECISE = 0.02  # width of the median's 95 % interval over the median, at which repeating stops
LEAST_REPETITIONS, MOST_REPETITIONS = 2, 100
PLENTY = 12  # repetitions of half a second at most: more cannot tell what only another process can
SHORT_S = 0.5
WARM_TOKENS = 8  # new tokens of the CPU's warm-up; a GPU's is a full run, which captures what it will use
METERED_EACH_S = 1.1 * METERED_S / PASSES_A_ROUND  # its passes count together; some are left out
AROUND = 1.25  # some of a budget's time goes by between repetitions
MOST_FOR_ENERGY = 48  # repetitions: runs so short that these do not suffice are not metered
SHOWN = (Role.METHOD, Role.ROUND)  # whose energy a report holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """Where times come from: seconds of wall clock, CPU seconds of this process, joules where known."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    joules: Callable[[], float | None] = lambda: None
    load: Callable[[], LoadReading] = read_load
    foreign_gpu: Callable[[], float | None] = lambda: None
    threads: int = 1


@dataclass(slots=True, kw_only=True)
class PointTimes:
    """What one point has gathered; one entry a repetition."""

    ttft_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)
    cpu_share: list[float] = field(default_factory=list)
    queue_share: list[float] = field(default_factory=list)
    steal_share: list[float] = field(default_factory=list)
    foreign_cores: list[float] = field(default_factory=list)
    foreign_gpu: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    server_ttft_s: list[float] = field(default_factory=list)
    server_decode_s: list[float] = field(default_factory=list)
    request_ttft_s: list[tuple[float, ...]] = field(default_factory=list)
    request_decode_s: list[tuple[float, ...]] = field(default_factory=list)
    warm_s: float | None = None

    @property
    def precise(self) -> bool:
        """Whether the decode time's median is known to PRECISE."""
        interval = median_interval(self.decode_s)
        return interval is not None and interval.width <= PRECISE * median(self.decode_s)

    @property
    def sufficient(self) -> bool:
        """Precise, or repeated so often that what is left is what differs between processes."""
        return self.precise or (len(self.decode_s) >= PLENTY and max(self.decode_s) <= SHORT_S)

    def metered(self, wanted_s: float) -> bool:
        """Whether the energy counter, where there is one, has ticked for so long, or never would."""
        done_s, count = sum(self.ttft_s) + sum(self.decode_s), len(self.decode_s)
        return not self.joules or done_s >= wanted_s or done_s * MOST_FOR_ENERGY < wanted_s * count


def measure_speed(
    decoder: Decoder, trial: Trial, progress: Progress, meters: Meters | None = None
) -> tuple[SpeedPoint, ...]:
    """All points of the trial's sweep, batch sizes within prompt lengths; see `sweep`.

    `meters` are this process's clocks and load, unless another process computes.
    """
    views = [DriverView(device) for device in devices_of(trial.load)]
    meters = meters or replace(meters_of(trial.load.device), foreign_gpu=partial(most_foreign, views))
    meters = replace(meters, joules=partial(total_joules, views))
    return tuple(sweep(decoder, trial, progress, meters))


def meters_of(device: str) -> Meters:
    """This process's clocks and load; on a CPU torch's threads are to work at once, one feeds a GPU."""
    import torch

    threads = torch.get_num_threads() if device == "cpu" else 1
    return Meters(load=partial(read_load, device), threads=threads)


def warm_up(decoder: Decoder, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of a first, short generation: what is compiled, captured and touched for the first time."""
    start = clock()
    decoder.generate([Request(prompt_ids=(0, 1, 2, 3), max_new_tokens=2)], batch_size=1)
    decoder.synchronize()
    return clock() - start


def check_predictions(decoder: Decoder) -> None:
    """NotFiniteError where predictions after a few tokens are not finite: nothing else is worth measuring."""
    from quantbench.weights.finite import check_logits

    for logits in decoder.score([(0, 1, 2, 3)]):
        check_logits(logits, "after four tokens")


def sweep(decoder: Decoder, trial: Trial, progress: Progress, meters: Meters) -> Iterator[SpeedPoint]:
    """Each point gets an equal share of what the repetitions so far have left of the budget.

    The first, the headline, gets enough for its energy to be known where there is a counter, its other pass
    taken with it.
    """
    asked = trial.speed
    shapes = [(batch, prompt) for prompt in asked.prompt_tokens for batch in asked.batch_sizes]
    left = asked.speed_budget_s
    for index, (batch, prompt) in enumerate(shapes):
        stage = f"speed: batch {batch}, {prompt} prompt tokens"
        budget = left / (len(shapes) - index)
        wanted = index == 0 and trial.role in SHOWN and meters.joules() is not None
        energy_s = METERED_EACH_S if wanted else 0.0
        budget = max(budget, AROUND * energy_s)
        requests = forced_requests(decoder, batch, prompt, asked.new_tokens, trial.generation.seed)
        times = PointTimes()
        failure = repeat(decoder, requests, times, meters, Budget(budget, energy_s, stage, progress))
        left = max(0.0, left - sum(times.ttft_s) - sum(times.decode_s))
        yield speed_point(decoder, requests, times, failure)


class HasVocabulary(Protocol):
    """Whatever knows how many tokens there are."""

    vocab_size: int


def forced_requests(decoder: HasVocabulary, batch: int, prompt: int, new: int, seed: int) -> list[Request]:
    """`batch` rows of `prompt` random tokens each, to be continued by exactly `new` tokens."""
    draw = random.Random(f"{seed}:{batch}:{prompt}")
    return [
        Request(
            prompt_ids=tuple(draw.randrange(decoder.vocab_size) for _ in range(prompt)), max_new_tokens=new
        )
        for _ in range(batch)
    ]


@dataclass(frozen=True, slots=True)
class Budget:
    """Seconds that one point may repeat, those of them that energy wants, and where its progress goes."""

    seconds: float
    energy_s: float
    stage: str
    progress: Progress


def repeat(
    decoder: Decoder, requests: list[Request], times: PointTimes, meters: Meters, budget: Budget
) -> str | None:
    """Warm up, then fill `times` until they are precise or the budget is over; the reason of a failure."""
    length = len(requests[0].prompt_ids) + requests[0].max_new_tokens
    if length > decoder.max_positions:
        return f"{length} positions are needed, but the model has {decoder.max_positions}"
    try:
        budget.progress(budget.stage, 0, 0)
        start = meters.wall()
        warm(decoder, requests)
        times.warm_s = meters.wall() - start
        end = meters.wall() + budget.seconds
        while len(times.decode_s) < MOST_REPETITIONS:
            run_once(decoder, requests, times, meters)
            budget.progress(budget.stage, len(times.decode_s), 0)
            enough = (times.sufficient and times.metered(budget.energy_s)) or meters.wall() >= end
            if enough and len(times.decode_s) >= LEAST_REPETITIONS:
                return None
    except RefusedError as error:
        return str(error)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        release(decoder.device)
        return f"out of memory: {str(error) or type(error).__name__}".splitlines()[0]
    return None


def warm(decoder: Decoder, requests: list[Request]) -> None:
    """One run of the same shape, shortened on the CPU, where only caches and buffers must be warm.

    Not where shapes are compiled: a shorter run may be another shape.
    """
    compiles = isinstance(decoder, CompilesShapes) and decoder.compile_seconds() is not None
    if decoder.device == "cpu" and not compiles:
        requests = [
            Request(prompt_ids=r.prompt_ids, max_new_tokens=min(WARM_TOKENS, r.max_new_tokens))
            for r in requests
        ]
    decoder.generate(requests, batch_size=len(requests))
    decoder.synchronize()


def run_once(decoder: Decoder, requests: list[Request], times: PointTimes, meters: Meters) -> None:
    """One timed repetition, appended to `times` when it is complete."""
    first: list[float] = []
    decoder.synchronize()
    if isinstance(decoder, TimesItself):
        decoder.start_timing()
    load = meters.load()
    joules, cpu, start = meters.joules(), meters.cpu(), meters.wall()
    decoder.generate(requests, batch_size=len(requests), on_first_token=lambda: first.append(meters.wall()))
    decoder.synchronize()
    end, cpu_end, joules_end = meters.wall(), meters.cpu(), meters.joules()
    times.ttft_s.append(first[0] - start)
    times.decode_s.append(end - first[0])
    times.cpu_share.append((cpu_end - cpu) / max(end - start, 1e-9) / meters.threads)
    note_load(times, load, meters, end - start)
    if joules is not None and joules_end is not None:
        times.joules.append(joules_end - joules)
    if isinstance(decoder, TimesRequests):
        firsts, rests = decoder.request_times()
        times.request_ttft_s.append(firsts)
        times.request_decode_s.append(rests)
    if isinstance(decoder, TimesItself) and (own := decoder.own_timings()):
        times.server_ttft_s.append(own[0])
        times.server_decode_s.append(own[1])


def note_load(times: PointTimes, before: LoadReading, meters: Meters, wall_s: float) -> None:
    """Append what kept a repetition from running, as far as the system counts it."""
    found = load_between(before, meters.load(), wall_s, meters.threads)
    pairs = (
        (times.queue_share, found.queued),
        (times.steal_share, found.stolen),
        (times.foreign_cores, found.foreign_cores),
        (times.foreign_gpu, meters.foreign_gpu()),
    )
    for values, value in pairs:
        if value is not None:
            values.append(round(value, 4))


def speed_point(
    decoder: Decoder, requests: list[Request], times: PointTimes, failure: str | None
) -> SpeedPoint:
    """The record of one point; bytes are those of a step at the middle of the decode."""
    batch, prompt, new = len(requests), len(requests[0].prompt_ids), requests[0].max_new_tokens
    weight_bytes, kv_bytes = decoder.step_bytes(batch, prompt + new // 2)
    return SpeedPoint(
        batch_size=batch,
        prompt_tokens=prompt,
        new_tokens=new,
        ttft_s=tuple(times.ttft_s),
        decode_s=tuple(times.decode_s),
        cpu_share=tuple(times.cpu_share),
        queue_share=tuple(times.queue_share),
        steal_share=tuple(times.steal_share),
        foreign_cores=tuple(times.foreign_cores),
        foreign_gpu=tuple(times.foreign_gpu),
        joules=tuple(times.joules),
        server_ttft_s=tuple(times.server_ttft_s),
        server_decode_s=tuple(times.server_decode_s),
        request_ttft_s=tuple(times.request_ttft_s),
        request_decode_s=tuple(times.request_decode_s),
        warm_s=times.warm_s,
        step_weight_bytes=weight_bytes or None,
        kv_bytes=kv_bytes or None,
        failure=failure,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: torch says so by type on CUDA and by message on the CPU."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def release(device: str) -> None:
    """Give what the allocator holds back to the device, so that a smaller point can run."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
