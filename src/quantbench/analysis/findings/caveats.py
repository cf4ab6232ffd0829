"""What the figures of this report cannot tell, worked out from what was and was not measured."""

from collections.abc import Iterable

from quantbench.analysis.comparison.comparisons import ALPHA
from quantbench.analysis.comparison.rows import Rows
from quantbench.analysis.comparison.score_tests import score_key
from quantbench.analysis.figures.scores import Score
from quantbench.records import NO_SANDBOX
from quantbench.stats import DRIFT_BOUND, mcnemar_exact
from quantbench.units import listed


def caveats_of(results: Rows) -> tuple[str, ...]:
    """Sentences; those about the machine, then speed, memory, quality."""
    return (
        *_machine(results),
        *_side_by_side(results),
        *_spread(results),
        *_speed(results),
        *_memory(results),
        *_quality(results),
    )


def fewest_discordant(level: float = ALPHA) -> int:
    """The least number of problems lost, none won, that an exact McNemar test calls real."""
    return next(n for n in range(1, 100) if mcnemar_exact(n, 0) < level)


def _machine(results: Rows) -> Iterable[str]:
    machines = dict.fromkeys(row.record.environment.gpu or row.record.environment.cpu for row in results.rows)
    if not machines:
        return
    yield (
        f"The figures belong to {listed(list(machines))}, the library versions and the settings named above; "
        "another machine can order the methods differently."
    )
    if len(machines) > 1:
        yield "The methods ran on different machines, so their speeds cannot be compared with each other."
    if results.model and results.model.note:
        yield f"About the model: {results.model.note}."


def _side_by_side(results: Rows) -> Iterable[str]:
    """What follows where trials ran beside others, see the executors."""
    places = [row.record.environment.extra.get("side_by_side_on") for row in results.rows]
    devices = sorted({str(place) for place in places if place and place != "ray"})
    if "ray" in places:
        yield (
            "Trials ran on a cluster, each on any of its nodes: differences between nodes of one kind are in "
            "the comparisons, and the machine named here is that of one of them."
        )
    if len(devices) > 1:
        yield (
            f"The methods ran on {listed(devices)} of one host: differences between devices of one kind are "
            "in the comparisons."
        )
    if devices and devices[0].startswith("cpu"):
        yield "Trials shared the CPU's memory with others while they were timed, which may have slowed them."
    elif devices:
        yield (
            "Other trials may have run on the host's other GPUs meanwhile: on a host of two H200 that moved "
            "no decode speed at batch 1 by more than 2 %; other hosts may differ."
        )


def _spread(results: Rows) -> Iterable[str]:
    """What figures of a model mean that lay on several GPUs."""
    spread = [row for row in results.rows if len(row.record.places) > 1]
    if not spread:
        return
    devices = [place.device for place in spread[0].record.places]
    yield (
        f"{listed([row.label for row in spread])} lay on {listed(devices)}, layer after layer: the GPUs work "
        "one after another, so speed is that of one GPU at a time with the ways between them, not that of "
        "GPUs that share each layer; memory and energy are summed over them, and the share of the bandwidth "
        f"is of {devices[0]}'s alone."
    )


def _speed(results: Rows) -> Iterable[str]:
    points = {(s.batch_size, s.prompt_tokens) for row in results.rows for s in row.sweep if s.decode}
    if not points:
        return
    batches = sorted({batch for batch, _ in points})
    prompts = sorted({prompt for _, prompt in points})
    yield (
        f"Speed was measured at batch {listed([str(b) for b in batches])} with prompts of "
        f"{listed([str(p) for p in prompts])} tokens and forced lengths; other loads, and servers that "
        "mix requests, behave differently."
    )
    headlines = [row.speed for row in results.rows if row.speed and row.speed.decode]
    if any(speed.decode and (speed.decode.interval is None or speed.decode.ranged) for speed in headlines):
        yield (
            "Speeds of fewer than six passes have their range beside them, no 95 % interval; whether two "
            "methods differ is tested on what varies between the processes of all."
        )
    if all(len(set(point.round_of)) < 2 for row in results.rows for point in row.record.speed):
        yield (
            "All repetitions of a speed ran in one process, whose intervals do not know how another process "
            "would do: only differences larger than processes that drift by "
            f"{100 * DRIFT_BOUND:.0f} % would show are called real. That bound is a convention, which one "
            "process cannot check. A new run has two processes a round."
        )
    served = [row.label for row in results.rows if row.record.served]
    yield "Speed counts the model alone: tokenizing, detokenizing and network are not in it." + (
        f" Of {listed(served)} it is timed at the client of a server, whose HTTP and text are in it; Engines "
        "has the server's own times beside it."
        if served
        else ""
    )


def _memory(results: Rows) -> Iterable[str]:
    kinds = {row.record.memory.kind for row in results.rows if row.record.memory}
    if "cuda" in kinds:
        yield (
            "GPU memory is the allocator's peak during the speed runs; the driver's context comes on top, "
            "and larger batches or longer texts need more."
        )
    if "cpu" in kinds:
        yield (
            "Memory is the peak resident set of the whole process, Python and its libraries included; "
            "a small model's weights hardly move it."
        )
    if any(row.record.served and row.record.memory for row in results.rows):
        yield (
            "Memory of an engine behind a server is the sum of its processes' peaks: pages that they share "
            "count in each, and what one sets aside for its cache counts once it is touched."
        )


def _quality(results: Rows) -> Iterable[str]:
    if not results.tasks:
        if not results.asked_harness:
            yield "No task was run: nothing here says what quantizing costs in quality."
        return
    for task in results.tasks:
        scores = [score for row in results.rows if (score := row.score(task))]
        yield from _of_task(scores, results.comparisons.level(score_key(task)))


def _of_task(scores: list[Score], level: float) -> Iterable[str]:
    first = scores[0]
    widest = max(scores, key=lambda score: score.interval.width)
    known = (
        f"{first.title} has {first.problems} problems: a pass@1 is known to about "
        f"±{50 * widest.interval.width:.1f} points"
    )
    if all(score.per_problem == 1 for score in scores):
        known += (
            ", and even if every problem that only one of two methods solves speaks for the same one, "
            f"it takes {fewest_discordant(level)} of them to rule out chance in as many comparisons as this "
            "report makes"
        )
    yield f"{known}."
    if not first.result.comparable:
        yield f"These {first.title} scores cannot be compared with published figures."
    temperature = (
        "greedy decoding" if first.result.temperature == 0 else f"temperature {first.result.temperature}"
    )
    yield (
        f"{first.title} was answered with {temperature} under the prompt protocol {first.result.protocol}; "
        "another prompt, batch size or number format changes single answers."
    )
    asks = "numbers as answers" if first.result.sandbox.startswith(NO_SANDBOX) else "short Python functions"
    yield f"{first.title} asks for {asks}: it says nothing about other languages or tasks."
