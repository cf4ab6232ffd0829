"""Which repetitions of a speed were disturbed by other programs, and what is left of a point without them.

The signal is time in which this process's threads were ready to run and had no core: near zero on a quiet
machine, whether or not the work fills the cores, and about half beside a busy program on every core. On a
GPU it is, too, the share of time in which kernels of other programs ran there. A repetition that was
disturbed is left out where enough others are clean; otherwise the whole point is disturbed, and nothing is
concluded from it.
"""

from collections.abc import Callable
from statistics import median

from quantbench.records import Record, SpeedPoint

QUEUED = 0.05  # of the threads' time
STOLEN = 0.05  # of the cores' time
GPU_SHARED = 0.05  # of the GPU's time; the driver samples it a few times a second
CROWDED = 0.1  # of the threads' cores, taken by others; only where waiting is not counted
ENOUGH = 6  # clean repetitions: the fewest for a 95 % interval of a median
MOSTLY = 2 / 3  # of the repetitions clean: the rest may be left out

PER_REPETITION = (
    "ttft_s",
    "decode_s",
    "cpu_share",
    "queue_share",
    "steal_share",
    "foreign_cores",
    "foreign_gpu",
    "round_of",
    "joules",
    "server_ttft_s",
    "server_decode_s",
    "request_ttft_s",
    "request_decode_s",
)


def working_threads(record: Record) -> int:
    """Threads that were to work at once: one feeds a GPU."""
    cores = record.environment.cores
    on_gpu = record.trial.load.device.startswith("cuda")
    return 1 if on_gpu else min(record.environment.threads or cores, cores)


def without_disturbed(point: SpeedPoint, threads: int, cores: int) -> tuple[SpeedPoint, str | None]:
    """The point's clean repetitions, or all of them and the reason why too few are clean.

    `threads` is how many were to work, `cores` how many the machine has.
    """
    reasons = [disturbance(point, number, threads, cores) for number in range(len(point.decode_s))]
    clean = [number for number, reason in enumerate(reasons) if reason is None]
    if len(clean) == len(reasons):
        return point, None
    if len(clean) >= ENOUGH or len(clean) >= MOSTLY * len(reasons):
        return kept(point, clean), None
    return point, why_disturbed(point)


def disturbance(point: SpeedPoint, number: int, threads: int, cores: int) -> str | None:
    """The counter that shows that one repetition was disturbed; None where none does."""
    if at(point.queue_share, number) > QUEUED:
        return "queue"
    if at(point.steal_share, number) > STOLEN:
        return "steal"
    if at(point.foreign_gpu, number) > GPU_SHARED:
        return "gpu"
    if not point.queue_share and crowded(at(point.foreign_cores, number), threads, cores):
        return "foreign"
    return None


def crowded(foreign_cores: float, threads: int, cores: int) -> bool:
    """Whether other programs kept so many cores busy that the threads cannot have had one each."""
    return foreign_cores > 0 and (threads + foreign_cores - cores) / threads > CROWDED


def at(values: tuple[float, ...], number: int) -> float:
    """A repetition's figure; 0 where it was not counted."""
    return values[number] if number < len(values) else 0.0


def kept(point: SpeedPoint, numbers: list[int]) -> SpeedPoint:
    """The point with these repetitions alone; a figure that not every repetition has is left as it is."""
    count = len(point.decode_s)
    changes = {
        name: tuple(values[number] for number in numbers)
        for name in PER_REPETITION
        if len(values := getattr(point, name)) == count
    }
    return point.model_copy(update=changes)


def why_disturbed(point: SpeedPoint) -> str:
    """The largest of the medians, in words that fit behind 'because'."""
    told: tuple[tuple[tuple[float, ...], Callable[[float], str]], ...] = (
        (point.queue_share, lambda v: f"its threads had no core for {100 * v:.0f} % of their time"),
        (point.steal_share, lambda v: f"the hypervisor took {100 * v:.0f} % of the cores' time"),
        (
            point.foreign_gpu,
            lambda v: f"other programs' kernels ran on the GPU for {100 * v:.0f} % of the time",
        ),
    )
    found = [(median(values), say) for values, say in told if values]
    value, say = max(found, key=lambda pair: pair[0], default=(0.0, told[0][1]))
    others = median(point.foreign_cores) if point.foreign_cores else 0.0
    if value > 0:
        return say(value) + (f" (other programs kept {others:.1f} cores busy)" if others >= 0.05 else "")
    return f"other programs kept {others:.1f} cores busy"
