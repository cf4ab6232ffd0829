"""Which engines run which methods of a model: those in this process, and those behind servers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantbench.decoding.static_cache import FIX
from quantbench.errors import DeviceError, ModelError, QuantbenchError, UsageError, unknown
from quantbench.evaluation.distance import FLOOR_TAIL, WINDOW
from quantbench.evaluation.prompts import asked_by, read_chat
from quantbench.methods import LIBRARIES, check_fits
from quantbench.methods.floats import FLOATS
from quantbench.planning.refusals import positions_of
from quantbench.planning.resolving import load_of
from quantbench.planning.spreading import spread_engine, spread_methods
from quantbench.serving.engines import unsupported_reason
from quantbench.serving.finding import INSTALLABLE, find_engine
from quantbench.serving.http import parse_url
from quantbench.settings import IN_PROCESS, ArrivalSettings, Engine, EngineName, RunSettings
from quantbench.sources import ModelSource, is_quantized, load_tokenizer
from quantbench.support import AUTO, DEFAULT_METHODS, STORED, measurable, support_of, uncompiled_class
from quantbench.tasks import Task

ROUNDED = 256  # positions of a context
COMPILED = frozenset((*FLOATS, *(name for name in LIBRARIES if name.startswith("torchao-"))))
BY_TYPE = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """What one engine is to run: engine of each method, and what is not run, as sentences."""

    engines: Mapping[str, Engine]  # by method; 'auto' may mix two
    notes: tuple[str, ...] = ()


def resolve_engines(settings: RunSettings) -> tuple[Engine, ...]:
    """The engines that were asked for, with that of --base-url; UsageError for what makes no sense."""
    names, url = settings.load.engine, settings.load.base_url
    if settings.load.spread is not None:
        return spread_engine(settings)
    if EngineName.AUTO in names and len(names) > 1:
        raise UsageError("--engine auto stands alone; remove it or the other engines")
    engines = tuple(name.engine for name in names)
    if len(set(engines)) < len(engines):
        raise UsageError("--engine names quantbench twice, once by its former name, native; name it once")
    if url is None:
        return engines
    parse_url(url)
    served = [engine for engine in engines if engine not in IN_PROCESS]
    if len(served) > 1:
        listed = " and ".join(served)
        raise UsageError(f"--base-url is one server's, but {listed} are named; measure one there at a time")
    if served:
        return engines
    return (Engine.ENDPOINT,) if engines == (Engine.AUTO,) else (*engines, Engine.ENDPOINT)


def resolve_python(settings: RunSettings, engine: Engine) -> str | None:
    """The Python or command that runs a served engine; None for one that is in this process or runs already.

    UsageError where it is not found.
    """
    if engine in IN_PROCESS or settings.load.base_url is not None:
        return None
    given = named_pythons(settings)
    return find_engine(engine, given.get(engine, given.get(""))).path


def named_pythons(settings: RunSettings) -> dict[str, str]:
    """--engine-python by engine; '' is for whichever."""
    found: dict[str, str] = {}
    for entry in settings.load.engine_python:
        name, equals, path = entry.partition("=")
        if not equals:
            name, path = "", entry
        elif name not in INSTALLABLE:
            raise UsageError(unknown("engine in --engine-python", name, INSTALLABLE))
        found[name] = path
    served = [name for name in settings.load.engine if name.engine not in IN_PROCESS]
    if "" in found and len(served) > 1:
        raise UsageError(
            "--engine-python names one program for several engines; write "
            + ",".join(f"{name}=PATH" for name in served)
        )
    return found


def runs_of(settings: RunSettings, source: ModelSource, engine: Engine, asked: Sequence[str]) -> Runs:
    """The asked methods that an engine runs; UsageError where it runs none of them."""
    if engine is Engine.ENDPOINT or (engine not in IN_PROCESS and settings.load.base_url is not None):
        return Runs(engines={served_method(source, asked): engine})
    if engine not in IN_PROCESS:
        return served_runs(source, engine, asked)
    if engine is Engine.TRANSFORMERS_STATIC:
        return static_runs(settings, source, asked)
    support = support_of(source, engine, trust_remote_code=settings.load.trust_remote_code)
    methods, note = measurable(tuple(asked), support)
    if settings.load.spread is not None:
        methods, left_out = spread_methods(methods, named=tuple(asked) != AUTO)
        note = left_out or note
    engines = {name: Engine(support.engine_of(name) or support.engine) for name in methods}
    return Runs(engines=engines, notes=(note,) if note else ())


def static_runs(settings: RunSettings, source: ModelSource, asked: Sequence[str]) -> Runs:
    """The same for transformers with a static cache and a compiled step; unquantized if left to us."""
    trust = settings.load.trust_remote_code
    support = support_of(source, Engine.TRANSFORMERS, trust_remote_code=trust)
    if reason := uncompiled_class(source):
        raise ModelError(f"transformers-static cannot run '{source.name}': {reason}; {FIX}")
    names = DEFAULT_METHODS[:1] if tuple(asked) == AUTO else tuple(asked)
    able = [name for name in names if name in COMPILED and support.engine_of(name) == Engine.TRANSFORMERS]
    notes = tuple(
        f"transformers-static does not compile the kernels of {name}; {FIX}"
        for name in names
        if name not in able
    )
    if not able:
        raise UsageError(notes[0])
    return Runs(engines=dict.fromkeys(able, Engine.TRANSFORMERS_STATIC), notes=notes)


def served_runs(source: ModelSource, engine: Engine, asked: Sequence[str]) -> Runs:
    """The same for a server that is to be started."""
    if tuple(asked) == AUTO:
        asked = (STORED,) if is_quantized(source) else DEFAULT_METHODS
    reasons = {name: unsupported_reason(engine, source, name) for name in asked}
    able = [name for name, reason in reasons.items() if reason is None]
    notes = tuple(reason for reason in reasons.values() if reason is not None)
    if not able:
        raise UsageError(notes[0])
    return Runs(engines=dict.fromkeys(able, engine), notes=notes)


def served_method(source: ModelSource, asked: Sequence[str]) -> str:
    """What a server that runs already is said to run: the one named method, or that of the model's files."""
    if len(asked) > 1:
        raise UsageError("a server that runs already has one method; name that one with --methods")
    if tuple(asked) != AUTO:
        return asked[0]
    if is_quantized(source):
        return STORED
    kind = source.config.get("dtype") or source.config.get("torch_dtype")
    return BY_TYPE.get(str(kind), "fp16")


def runs_of_several(
    settings: RunSettings, source: ModelSource, engines: Sequence[Engine], asked: Sequence[str]
) -> list[Runs]:
    """Each engine's own runs: what one cannot run is told, what none can run is a UsageError."""
    found: list[Runs] = []
    reasons: list[QuantbenchError] = []
    notes: list[str] = []
    for engine in engines:
        try:
            runs = runs_of_one(settings, source, engine, asked)
        except (UsageError, ModelError) as error:
            reasons.append(error)
            notes.append(f"not run with {engine.shown}: {error}")
            continue
        found.append(runs)
    if not found:
        raise reasons[0]
    missing = [name for name in asked if asked != AUTO and not any(name in runs.engines for runs in found)]
    if missing:
        named = ", ".join(engine.shown for engine in engines)
        raise UsageError(f"none of {named} runs '{missing[0]}' of '{source.name}'; leave it out of --methods")
    return [*found, Runs(engines={}, notes=tuple(notes))]


def runs_of_one(settings: RunSettings, source: ModelSource, engine: Engine, asked: Sequence[str]) -> Runs:
    """One of several engines: of the asked methods those that it runs itself."""
    if engine not in IN_PROCESS or engine is Engine.TRANSFORMERS_STATIC or tuple(asked) == AUTO:
        return runs_of(settings, source, engine, asked)
    support = support_of(source, engine, trust_remote_code=settings.load.trust_remote_code)
    able = [name for name in asked if support.engine_of(name) == engine]
    if not able:
        raise UsageError(support.unsupported_reason(asked[0]) or f"it runs none of {', '.join(asked)}")
    return Runs(engines=dict.fromkeys(able, engine))


def check_room(runs: Sequence[Runs], source: ModelSource, settings: RunSettings) -> None:
    """DeviceError where no method fits the device; where some do, the others' trials say that they do not.

    What runs behind a server may place its weights otherwise, so it is tried. The settings are resolved.
    """
    refused: DeviceError | None = None
    load = load_of(settings)
    for method, engine in [pair for one in runs for pair in one.engines.items()]:
        if engine not in IN_PROCESS:
            return
        try:
            check_fits(method, source, load, settings.speed)
        except DeviceError as error:
            refused = refused or error
        else:
            return
    if refused is not None:
        raise refused


def server_values(
    settings: RunSettings,
    source: ModelSource,
    tasks: Sequence[Task],
    protocols: Sequence[str],
    engine: Engine,
) -> dict[str, object]:
    """The options of a trial that only servers have, nothing of them open; those of others are None."""
    load = settings.load
    if engine in IN_PROCESS:
        nothing = ("base_url", "served_name", "slots", "context", "engine_python")
        return {**dict.fromkeys(nothing), **ArrivalSettings().flat()}
    started = load.base_url is None
    needed = positions_needed(settings, source, tasks, protocols) if started else None
    return {
        "slots": load.slots or max(settings.speed.batch_sizes),
        "context": load.context or needed,
        "engine_python": resolve_python(settings, engine),
    }


def positions_needed(
    settings: RunSettings, source: ModelSource, tasks: Sequence[Task], protocols: Sequence[str]
) -> int:
    """Positions that the longest request of the run needs, rounded up; at most the model's."""
    longest = max(settings.speed.prompt_tokens) + settings.speed.new_tokens
    tokenizer = load_tokenizer(source) if tasks or settings.distance.text else None
    if settings.distance.text:
        longest = max(longest, WINDOW + FLOOR_TAIL + 1)
    if tokenizer is not None and tasks:
        chat = read_chat(source, tokenizer)
        for task in tasks:
            for way in asked_by(task, tuple(protocols), chat):
                answer = settings.generation.max_new_tokens or way.protocol.max_new_tokens
                for problem in way.problems:
                    prompt = way.protocol.prompt(problem)
                    asked = len(tokenizer.encode(prompt).ids)
                    text = len(tokenizer.encode(prompt + way.protocol.solution(problem)).ids)
                    longest = max(longest, asked + answer, text + FLOOR_TAIL + 1)
    rounded = -(-longest // ROUNDED) * ROUNDED
    most = positions_of(source.config)
    return rounded if most is None else min(rounded, most)
