"""Engines side by side: servers with their own timings, and one checkpoint in two engines."""

from collections.abc import Iterator, Sequence

from quantbench.analysis import Analysis, EnginePair, ServerTimes
from quantbench.analysis.formatting import MISSING, counted, significant
from quantbench.report.blocks import Block, Bullet, Bullets, Column, Section, Table, Text
from quantbench.units import show_bytes

LEGEND = (
    "Times in ms at the headline point, medians: at the client, where every engine is timed, and as the "
    "server counts them by itself; more: the client's time per token against the server's. HTTP: the same "
    "client and a server without a model, to the first event and between events. Cache: memory that the "
    "server sets aside for keys and values at its start, and the most of it that it told to use at the "
    "largest point of the sweep, in a run that was not timed."
)


def engine_sections(analysis: Analysis) -> Iterator[Section]:
    """There where an engine is behind a server, or one checkpoint ran in two engines."""
    engines = analysis.engines
    blocks: list[Block] = []
    if engines.pairs:
        blocks += [
            Text("The same checkpoint in two engines, the second against the first."),
            pairs(engines.pairs),
        ]
    if engines.servers:
        blocks += [time_table(engines.servers), Text(LEGEND), servers(engines.servers)]
    if blocks:
        yield Section(key="engines", title="Engines", blocks=tuple(blocks))


def pairs(found: Sequence[EnginePair]) -> Bullets:
    """One item for each two rows."""
    return Bullets(
        tuple(
            Bullet(
                f"speed {pair.speed}. Memory {pair.memory}. Greedy answers: {'; '.join(pair.answers)}."
                + (f" Distance: {pair.distance}." if pair.distance else ""),
                f"{pair.one} → {pair.other}",
            )
            for pair in found
        )
    )


def time_table(found: Sequence[ServerTimes]) -> Table:
    """A row a server."""
    titles = ["TTFT", "own TTFT", "TPOT", "own TPOT", "more (%)", "HTTP, first", "HTTP, a token"]
    titles += ["Cache set aside", "Cache in use"]
    columns = (Column("Row", number=False), *(Column(title) for title in titles))
    rows = tuple(
        (
            times.label,
            *(ms(value) for value in (times.ttft_s, times.own_ttft_s, times.tpot_s, times.own_tpot_s)),
            MISSING if times.surplus is None else f"{100 * times.surplus:+.1f}",
            ms(times.http_ttft_s),
            ms(times.http_token_s),
            *(
                MISSING if size is None else show_bytes(size)
                for size in (times.served.kv_pool_bytes, times.cache_used_bytes)
            ),
        )
        for times in found
    )
    return Table(columns, rows)


def servers(found: Sequence[ServerTimes]) -> Bullets:
    """What each server is."""
    return Bullets(tuple(Bullet("; ".join(described(times)), times.label) for times in found))


def described(times: ServerTimes) -> Iterator[str]:
    """Its version and settings in words."""
    served = times.served
    yield served.version or "version not told"
    yield "started for each trial" if served.started else f"ran already at {served.url}"
    yield f"prompts as {served.prompts}"
    if served.threads:
        yield counted(served.threads, "thread")
    if served.slots and served.context:
        yield f"{counted(served.slots, 'slot')} of {served.context:,} positions"
    yield from (f"{name}: {value}" for name, value in served.facts.items() if name != "slots")
    if served.log_file:
        yield f"log {served.log_file}"


def ms(seconds: float | None) -> str:
    """Milliseconds with three figures."""
    return MISSING if seconds is None else significant(1000 * seconds)
