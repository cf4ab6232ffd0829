"""A trial whose engine is behind a server: start it or find it, check it, then measure it as any other.

What an engine cannot say of itself is missing from the record, with a sentence; nothing is guessed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantbench.errors import RefusedError
from quantbench.methods import METHODS
from quantbench.plan import Role, Trial
from quantbench.records import Served, Startup
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.dialects import LLAMA_CPP, SGLANG, VLLM
from quantbench.serving.engines import SERVED, check_context
from quantbench.serving.finding import Found, at_path, find_engine
from quantbench.serving.http import KEY_VARIABLE, Server
from quantbench.serving.identity import Identity, check_tokens, identify
from quantbench.serving.launching import Asked, Launch
from quantbench.serving.metrics import peak_cache_share
from quantbench.serving.process import ServerProcess, free_port, started, wait_ready
from quantbench.serving.scoring import Scorer, VllmScorer, score_llama_cpp
from quantbench.serving.sglang import score_sglang
from quantbench.settings import Engine
from quantbench.sources import ModelSource, load_tokenizer, open_source
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.sizes import count_stored
from quantbench.trial.run import Run
from quantbench.trial.stages import model_info
from quantbench.trial.text import read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ELSEWHERE: dict[str, Scorer] = {
    LLAMA_CPP.name: score_llama_cpp,
    VLLM.name: VllmScorer(),
    SGLANG.name: score_sglang,
}  # of servers that run already
ENDPOINT_SLOTS = 256  # requests that another's server is sent at once, at most
EAGER = "vLLM ran on the CPU without compiling (--enforce-eager), as it starts in a fraction of the time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A server that answers, and how it came to be."""

    server: Server
    served: Served
    process: ServerProcess | None = None
    ready_s: float | None = None
    scorer: Scorer | None = None


def measure_served(run: Run) -> None:
    """All stages in their order; whatever goes wrong is raised, `run.stage` says where."""
    run.enter("start")
    run.progress("starting the server", 0, 0)
    source = open_source(run.trial.model, revision=run.trial.revision, seed=run.trial.generation.seed)
    with opened(run, source) as found:
        run.keep(served=found.served, engine=run.trial.load.engine)
        run.enter("load")
        tokenizer = load_tokenizer(source)
        identity = identify(
            found.server, source, found.served.name if found.process else run.trial.load.served_name
        )
        check_tokens(found.server, identity, source, tokenizer)
        decoder = decoder_of(run.trial, found, identity, source, tokenizer)
        keep_loaded(run, found, identity, decoder, source)
        if run.trial.role is not Role.SCALE:
            time_served(run, found, decoder)
        keep_size(run, source, identity)
        if run.trial.reads_text:
            read_text(run, source, decoder)


@contextmanager
def opened(run: Run, source: ModelSource) -> Iterator[Opened]:
    """The trial's server, ready to answer; ended with the block where it was started here."""
    load = run.trial.load
    if load.base_url is not None:
        server = Server(load.base_url, key=os.environ.get(KEY_VARIABLE))
        yield Opened(server=server, served=Served(url=load.base_url, name="", started=False))
        return
    engine = SERVED[load.engine]
    found = (
        at_path(load.engine, load.engine_python, "--engine-python")
        if load.engine_python
        else (find_engine(load.engine, None))
    )
    asked = asked_of(run.trial)
    check_context(asked, source)
    launch = engine.launch(found, source, asked)
    log = run.folder / "logs" / f"{run.trial.label}-server.log"
    with started(engine.name, launch.command, log, launch.environment) as process:
        server = Server(f"http://127.0.0.1:{asked.port}", died=process.ended)
        ready_s = wait_ready(process, server)
        said = log.read_text(errors="replace")
        served = served_of(asked, found, launch, engine.facts(said), Path("logs") / log.name)
        if (pool := engine.pool(said)) is not None:
            served = served.model_copy(update={"kv_pool_bytes": pool})
        yield Opened(server=server, served=served, process=process, ready_s=ready_s, scorer=engine.scorer)


def asked_of(trial: Trial) -> Asked:
    """What the trial's server is started with."""
    load = trial.load
    return Asked(
        method=trial.method,
        device=load.device,
        threads=threads_of(trial),
        context=load.context or max(trial.speed.prompt_tokens) + trial.speed.new_tokens,
        slots=load.slots or max(trial.speed.batch_sizes),
        port=free_port(),
    )


def threads_of(trial: Trial) -> int:
    """Threads that the server computes with: as many as our own engine takes."""
    if trial.load.threads:
        return trial.load.threads
    import torch

    return torch.get_num_threads()


def served_of(asked: Asked, found: Found, launch: Launch, told: dict[str, str], log: Path) -> Served:
    """The record's account of a server that was started."""
    return Served(
        url=f"http://127.0.0.1:{asked.port}",
        name=launch.served_name,
        started=True,
        version=found.version,
        command=launch.command,
        threads=asked.threads if asked.device == "cpu" else None,
        context=asked.context,
        slots=asked.slots,
        log_file=str(log),
        facts=told,
        kv_pool_bytes=launch.kv_pool_bytes,
    )


def decoder_of(
    trial: Trial, found: Opened, identity: Identity, source: ModelSource, tokenizer: "Tokenizer | None"
) -> ServedDecoder:
    """The decoder over an identified server."""
    config, meta = source.config, identity.meta
    positions = [value for value in (found.served.context, meta.get("n_ctx"), meta.get("context")) if value]
    positions += [value for name in ("max_position_embeddings",) if (value := config.get(name))]
    kernels = {"engine": f"{identity.dialect.name} {found.served.version or identity.version or ''}".strip()}
    if not identity.takes_ids:
        kernels["prompts"] = "sent as text: the server may read other tokens than were drawn"
    model = ServedModel(
        name=identity.name,
        vocab_size=int(config.get("vocab_size") or meta.get("n_vocab") or 1),
        max_positions=min((int(value) for value in positions), default=1 << 20),
        slots=trial.load.slots or ENDPOINT_SLOTS,
        takes_ids=identity.takes_ids,
        kernels=kernels | dict(found.served.facts),
    )
    scorer = found.scorer or ELSEWHERE.get(identity.dialect.name)
    return ServedDecoder(
        found.server,
        identity.dialect,
        model,
        device=trial.load.device,
        tokenizer=tokenizer,
        scorer=scorer,
    )


def keep_loaded(
    run: Run, found: Opened, identity: Identity, decoder: ServedDecoder, source: ModelSource
) -> None:
    """What is known once the server answers; its first answer is timed here, and what HTTP costs."""
    from quantbench.measure import warm_up
    from quantbench.serving.echo import measure_overhead

    trial = run.trial
    for sentence in source.warnings:
        run.warn(sentence)
    warmup_s = warm_up(decoder)
    firsts, gaps = measure_overhead(trial.speed.prompt_tokens[0])
    method = METHODS.get(trial.method)
    changes = {
        "name": identity.name,
        "version": found.served.version or identity.version,
        "prompts": "token ids" if identity.takes_ids else "text",
        "facts": {**found.served.facts, **identity.facts},
        "http_ttft_s": firsts,
        "http_token_s": gaps,
    }
    run.keep(
        model=model_info(source, count_stored(source)),
        engine=Engine(identity.dialect.name),
        scheme=(method.scheme if method else "") or None,
        served=found.served.model_copy(update=changes),
        startup=Startup(load_s=found.ready_s, warmup_s=warmup_s),
        kernels=tuple(decoder.kernels()),
    )
    if trial.load.engine is Engine.VLLM and trial.load.device == "cpu" and found.process:
        run.warn(EAGER)


def time_served(run: Run, found: Opened, decoder: ServedDecoder) -> None:
    """The speed sweep and the memory of the server's processes."""
    from quantbench.measure import measure_speed
    from quantbench.measure.arrivals import measure_arrivals
    from quantbench.measure.served import ServerMemory, server_meters

    run.enter("speed")
    tree = found.process.tree if found.process else None
    memory = ServerMemory(tree, run.trial.load.device) if tree else None
    if memory:
        memory.loaded()
    meters = server_meters(tree, found.served.threads or 1, run.trial.load.device)
    points = measure_speed(decoder, run.trial, run.progress, meters)
    run.keep(speed=points, memory=memory.finish() if memory else None)
    keep_cache_use(run, found, decoder)
    if run.trial.role is Role.METHOD and run.trial.arrivals.request_rates:
        run.enter("arrivals")
        run.keep(arrivals=measure_arrivals(decoder, run.trial, run.progress, meters))
    if memory is None:
        run.warn("memory is not known: the server was not started here")


def keep_cache_use(run: Run, found: Opened, decoder: ServedDecoder) -> None:
    """How much of its cache the server uses at the largest point of the sweep, in a run that is not timed."""
    from quantbench.measure.speed import forced_requests

    pool, memory = found.served.kv_pool_bytes, run.record.memory
    points = [point for point in run.record.speed if point.decode_s]
    if run.trial.role is not Role.METHOD or pool is None or memory is None or not points:
        return
    most = max(points, key=lambda point: point.batch_size * (point.prompt_tokens + point.new_tokens))
    seed = run.trial.generation.seed + 1
    requests = forced_requests(decoder, most.batch_size, most.prompt_tokens, most.new_tokens, seed)
    run.progress("the use of its cache", 0, 0)
    share = None
    with suppress(RefusedError):
        share = peak_cache_share(found.server, lambda: decoder.generate(requests, batch_size=len(requests)))
    if share is not None:
        run.keep(memory=memory.model_copy(update={"cache_bytes": round(share * pool)}))


def keep_size(run: Run, source: ModelSource, identity: Identity) -> None:
    """Bytes of the weights as the engine tells them, and how they are held as its file says."""
    from quantbench.measure.stored_size import scheme_of_gguf, size_of_gguf, storage_of_gguf

    run.enter("size")
    told = identity.meta.get("size")
    if isinstance(source, GgufSource) and isinstance(told, int):
        storage = storage_of_gguf(source, identity.dialect.name)
        run.keep(size=size_of_gguf(source, told), storage=storage, scheme=scheme_of_gguf(source))
        return
    run.warn(f"{identity.dialect.name} does not say what its weights take, so their size is not known")
