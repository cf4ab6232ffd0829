"""What was measured, where and with which settings, and how every matrix is held."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from quantbench.analysis import Analysis, MemoryPart, Row, Rows, memory_parts
from quantbench.analysis.formatting import MISSING, counted, significant
from quantbench.kernels import find_kernel
from quantbench.records import NO_SANDBOX, Environment, HeldKind, HeldPlace, Record
from quantbench.report.blocks import Block, Bullet, Bullets, Code, Column, Section, Table, Text
from quantbench.settings import devices_of
from quantbench.units import listed, show_bytes, show_seconds

INVARIANCE = "batch invariance"  # a property of the kernels; shown among the settings
KV_CACHE = "KV cache"  # how it is held, where that was asked for


def measured_section(analysis: Analysis) -> Iterator[Section]:
    """There when any trial has a record; facts that differ between trials are all listed."""
    results = analysis.results
    records = [row.record for row in results.rows] + [*results.floors, *results.context]
    if not records:
        return
    commands = _each(records, lambda record: record.environment.command)
    blocks: tuple[Block, ...] = (
        Text("Each method ran in a process of its own, with the same prompts and the same measuring code."),
        *(Code(command) for command in commands),
        Bullets(
            (
                *_machine(records),
                *_settings(records),
                *_tasks(results),
                *_floor(results),
                *(Bullet(text, f"Prompts of {label}") for label, text in analysis.prompt_effects),
            )
        ),
        engine_table(results.rows),
    )
    yield Section(key="measured", title="How it was measured", blocks=blocks)


def _each(records: Iterable[Record], read: Any) -> list[str]:
    """The different values that the records have, without the missing ones."""
    return list(dict.fromkeys(str(value) for record in records if (value := read(record)) is not None))


def _machine(records: Sequence[Record]) -> Iterator[Bullet]:
    yield Bullet("; ".join(_each(records, lambda r: describe_machine(r.environment))), "Machine")
    bandwidths = [record.bandwidth for record in records if record.bandwidth]
    if bandwidths:
        rates = [bandwidth.read_bytes_per_s / 1e9 for bandwidth in bandwidths]
        span = dict.fromkeys(f"{rate:,.1f}" for rate in (min(rates), max(rates)))
        yield Bullet(f"{' to '.join(span)} GB/s ({bandwidths[0].method})", "Read bandwidth")
    if states := _each(records, lambda r: describe_gpu_state(r.environment)):
        yield Bullet("; ".join(states), "GPU before each trial")
    yield Bullet("; ".join(_each(records, lambda r: describe_software(r))), "Software")


def describe_machine(environment: Environment) -> str:
    """GPU first, where there is one."""
    cpu = f"{environment.cpu}, {environment.cores} cores, {show_bytes(environment.memory_bytes)} of memory"
    if environment.threads:
        cpu += f", {counted(environment.threads, 'thread')}"
    parts = [cpu, environment.platform]
    if environment.gpu:
        memory = environment.gpu_memory_bytes
        gpu = environment.gpu + (f", {show_bytes(memory)} of memory" if memory else "")
        gpu += f", driver {environment.driver}" if environment.driver else ""
        gpu += f", CUDA {environment.cuda}" if environment.cuda else ""
        parts.insert(0, gpu)
    return "; ".join(parts)


def describe_gpu_state(environment: Environment) -> str | None:
    """Clocks, power state and load as the driver gave them; None where it gave none."""
    known = {
        "sm_clock_mhz": "SM clock {} MHz",
        "memory_clock_mhz": "memory clock {} MHz",
        "power_state": "power state P{}",
        "utilization_percent": "{} % busy",
    }
    extra = environment.extra
    parts = [text.format(extra[key]) for key, text in known.items() if isinstance(extra.get(key), int)]
    return ", ".join(parts) or None


def describe_software(record: Record) -> str:
    """Versions that can change a figure."""
    environment = record.environment
    product = f"quantbench {record.quantbench_version}"
    if environment.commit:
        product += f" (commit {environment.commit})"
    packages = [f"{name} {version}" for name, version in environment.packages.items()]
    return ", ".join([product, f"Python {environment.python}", *packages])


def _settings(records: Sequence[Record]) -> Iterator[Bullet]:
    yield Bullet(", ".join(_each(records, lambda r: listed(devices_of(r.trial.load)))), "Device")
    yield Bullet(", ".join(_each(records, lambda r: r.trial.load.dtype)), "Activations")
    if formats := _each(records, lambda r: kernel_name(r, KV_CACHE)):
        yield Bullet("; ".join(formats), KV_CACHE)
    yield Bullet(", ".join(_each(records, lambda r: r.trial.generation.seed)), "Seed")
    if invariance := _each(records, lambda r: kernel_name(r, INVARIANCE)):
        yield Bullet("; ".join(invariance), "Batch invariance")
    points = dict.fromkeys(
        f"batch {p.batch_size}, prompt {p.prompt_tokens}, {p.new_tokens} new tokens"
        for record in records
        for p in record.speed
    )
    if points:
        text = (
            f"{'; '.join(points)}; lengths forced, warm-up not counted, every repetition kept in the records"
        )
        yield Bullet(text, "Speed")
    dates = sorted(record.created_at for record in records)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    yield Bullet(span, "Measured")


def _tasks(results: Rows) -> Iterator[Bullet]:
    for task in results.tasks:
        scores = [score for row in results.rows if (score := row.score(task))]
        result = scores[0].result
        batches = ", ".join(dict.fromkeys(str(score.result.batch_size) for score in scores))
        sandboxes = ", ".join(dict.fromkeys(score.result.sandbox for score in scores))
        ran = f"programs ran in the sandbox mode '{sandboxes}'"
        if sandboxes == NO_SANDBOX:
            ran = "answers were graded without running a program"
        if found := sum(score.result.verdicts_found for score in scores):
            answers = sum(len(score.result.completions) for score in scores)
            ran += f"; {found} of {answers} answers have the verdict of the same program, executed before"
        decoding = "greedy" if result.temperature == 0 else f"sampled at temperature {result.temperature:g}"
        text = (
            f"{result.problems} problems (sha256 {result.data_sha256[:12]}), protocol {result.protocol}, "
            f"{decoding}, {counted(scores[0].per_problem, 'completion')} a problem, batch {batches}, the "
            f"same order for every method; {ran}"
        )
        yield Bullet(text, scores[0].title)
        if result.protocol_reason:
            yield Bullet(f"{result.protocol}; {result.protocol_reason}", f"{scores[0].title}, protocol")
        times = [
            f"{row.label} {show_seconds(s.result.generate_s)} and {show_seconds(s.result.execute_s)}"
            for row in results.rows
            if (s := row.score(task))
        ]
        yield Bullet(", ".join(times), f"{scores[0].title}, generating and executing")


def _floor(results: Rows) -> Iterator[Bullet]:
    for record in results.floors:
        batch = record.trial.generation.batch_size
        text = (
            f"{record.method} was run a second time at batch {batch}, to see what changes without any method"
        )
        yield Bullet(text, "Noise floor")
    for record in results.context:
        text = f"the baseline's weights as {record.method}, scored as well, outside all comparisons"
        yield Bullet(text, "For scale")


def engine_table(rows: Sequence[Row]) -> Table:
    """What really ran each method."""
    columns = tuple(Column(title, number=False) for title in ("Method", "Engine", "Kernels"))
    named = [(row, row.record.engine.shown if row.record.engine else MISSING) for row in rows]
    cells = tuple((row.label, engine, _kernels(row.record)) for row, engine in named)
    return Table(columns, cells)


def _kernels(record: Record) -> str:
    shown = [
        f"{kernel.title}: {kernel.name}{f' ({kernel.reason})' if kernel.reason else ''}"
        for kernel in record.kernels
        if kernel.operation not in (INVARIANCE, KV_CACHE)
    ]
    return ", ".join(shown) or MISSING


def kernel_name(record: Record, operation: str) -> str | None:
    """What a record says of an operation; None where it says nothing."""
    kernel = find_kernel(record.kernels, operation)
    return kernel.name if kernel else None


Held = Sequence[tuple[str, Sequence[HeldKind]]]  # method -> its matrices by kind

LEGEND = (
    "Read from the loaded model after its first run. Bits: stored bits per parameter, scales and zero points "
    "included, as held in memory, which may differ from the file's. Kinds that are held alike share a row; "
    "in brackets the number of matrices."
)
MEMORY_LEGEND = (
    "At the peak of the speed trials, loading apart. Weights and cache are counted tensor by tensor, the "
    "others are what two measured figures leave between them; a dash stands where none was measured, with "
    "its reason."
)
STORAGE = ("Group", "Parameters", "Bits", "Bytes")
KERNELS = ("New tokens", "Prompts")


def audit_section(analysis: Analysis) -> Iterator[Section]:
    """Tables of matrices and of memory, where any record has an account of them."""
    held = [(row.label, row.record.storage) for row in analysis.results.rows if row.record.storage]
    if held:
        tables = (storage_table(held), kernel_table(held))
        yield Section(key="audit", title="What is held how", blocks=(*tables, Text(LEGEND)))
    if places := places_in(analysis.results.rows):
        yield Section(key="places", title="Which device holds what", blocks=(place_table(places),))
    if memory := memory_of(analysis.results.rows):
        told = (memory_table(memory), Text(MEMORY_LEGEND))
        yield Section(key="memory-parts", title="Where the memory went", blocks=told)


def memory_of(rows: Sequence[Row]) -> list[tuple[str, tuple[MemoryPart, ...]]]:
    """Each method's memory in parts."""
    return [
        (row.label, memory_parts(record.memory, record.size.weight_bytes if record.size else None))
        for row in rows
        if (record := row.record).memory
    ]


def memory_table(memory: Sequence[tuple[str, Sequence[MemoryPart]]]) -> Table:
    """A row for each part of a method's memory; a dash where it is not known, with the reason."""
    columns = (Column("Method", number=False), Column("Part", number=False), Column("Bytes"))
    cells = tuple(
        (label, part.name, MISSING if part.nbytes is None else f"{part.nbytes:,}", part.how)
        for label, parts in memory
        for part in parts
    )
    return Table((*columns, Column("What it is", number=False)), cells)


def places_in(rows: Sequence[Row]) -> list[tuple[str, tuple[HeldPlace, ...]]]:
    """Each method's devices, where its model was spread over several."""
    return [(row.label, row.record.places) for row in rows if row.record.places]


def place_table(places: Sequence[tuple[str, Sequence[HeldPlace]]]) -> Table:
    """A row for each device of a method."""
    columns = (*(Column(title, number=False) for title in ("Method", "Device", "Holds")), Column("Bytes"))
    cells = ((label, p.device, p.holds, f"{p.nbytes:,}") for label, own in places for p in own)
    return Table(columns, tuple(cells))


def storage_table(held: Held) -> Table:
    """How many bytes, a row for each format of a method."""
    columns = [Column(title, number=False) for title in ("Method", "Matrices", "Format")]
    columns += [Column(title) for title in STORAGE]
    return Table(tuple(columns), tuple(cells for label, kinds in held for cells in _storage(label, kinds)))


def kernel_table(held: Held) -> Table:
    """What multiplies the matrices, a row for each kernel of a method."""
    columns = tuple(Column(title, number=False) for title in ("Method", "Matrices", *KERNELS))
    rows = []
    for label, kinds in held:
        for (kernel, prompt_kernel), alike in gathered(kinds, lambda k: (k.kernel, k.prompt_kernel)):
            if any(kind.matrices for kind in alike):
                rows.append((label, names_of(alike), kernel, prompt_kernel))
    return Table(columns, tuple(rows))


def _storage(label: str, kinds: Sequence[HeldKind]) -> Iterator[tuple[str, ...]]:
    for (form, group), alike in gathered(kinds, lambda kind: (kind.format, kind.group_size)):
        parameters, nbytes = sum(kind.parameters for kind in alike), sum(kind.nbytes for kind in alike)
        yield (
            label,
            names_of(alike),
            form,
            MISSING if group is None else str(group),
            f"{parameters:,}",
            significant(8 * nbytes / max(1, parameters)),
            f"{nbytes:,}",
        )


def gathered(
    kinds: Sequence[HeldKind], way: Callable[[HeldKind], tuple[Any, ...]]
) -> list[tuple[tuple[Any, ...], list[HeldKind]]]:
    """Kinds that are alike in a way, in order of appearance."""
    found: dict[tuple[Any, ...], list[HeldKind]] = {}
    for kind in kinds:
        found.setdefault(way(kind), []).append(kind)
    return list(found.items())


def names_of(kinds: Sequence[HeldKind]) -> str:
    """'q (24), k (24), norms, biases'."""
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind.module] = counts.get(kind.module, 0) + kind.matrices
    return ", ".join(f"{module} ({count})" if count else module for module, count in counts.items())
