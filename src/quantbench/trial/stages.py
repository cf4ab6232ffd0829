"""The stages of a trial that need no text: bandwidth, load, speed, memory, what bounds a step, size."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from quantbench.decoding import (
    CompilesAhead,
    CompilesShapes,
    Decoder,
    Point,
    TimesStages,
    held_scheme,
    scheme_by_phase,
)
from quantbench.measure.experiments import TIMES
from quantbench.methods import METHODS, Loaded, check_fits
from quantbench.methods.kept import Keeping, keeping
from quantbench.methods.native import compile_kernels
from quantbench.plan import Role, Trial
from quantbench.quiet import timed
from quantbench.records import Bandwidth, ModelInfo, Startup
from quantbench.settings import Engine, devices_of
from quantbench.sources import ModelSource, open_source
from quantbench.trial.run import Run
from quantbench.trial.text import read_text

if TYPE_CHECKING:
    from quantbench.measure import MemoryMeter

KEEPING = {Role.METHOD: Keeping.WRITE, Role.ROUND: Keeping.READ}  # what calibration finds


def measure(run: Run, import_s: float | None) -> None:
    """All stages in their order; whatever goes wrong is raised, `run.stage` says where."""
    prepare(run)
    from quantbench.measure import audit, check_predictions, measure_bandwidth, measure_size, places_of

    trial = run.trial
    run.enter("compile")
    if trial.load.device == "cpu":
        compile_kernels()  # which the bandwidth is measured with, too
    run.enter("bandwidth")
    with timed():
        bandwidth = measure_bandwidth(trial.load.device) if trial.role is Role.METHOD else None
    source, loaded, meter = load(run)
    decoder = loaded.decoder
    keep_loaded(run, source, loaded, bandwidth, import_s)
    check_predictions(decoder)
    if trial.role is not Role.SCALE:
        with timed():
            time_decoder(run, decoder, meter)
    run.enter("size")
    places = places_of(decoder) if trial.load.spread else ()
    run.keep(size=measure_size(decoder, source), storage=audit(decoder, source), places=places)
    if trial.reads_text:
        read_text(run, source, decoder)
    run.keep(kernels=tuple(decoder.kernels()))  # again: the tasks' batches may have met other kernels


def load(run: Run) -> tuple[ModelSource, Loaded, "MemoryMeter"]:
    """The model under its method, its kernels compiled, and the memory's meter; DeviceError without room."""
    from quantbench.measure import MemoryMeter

    trial = run.trial
    run.enter("load")
    run.progress("loading", 0, 0)
    source = open_source(trial.model, revision=trial.revision, seed=trial.generation.seed)
    check_fits(trial.method, source, trial.load, trial.speed)
    meter = MemoryMeter(*devices_of(trial.load))
    with keeping(KEEPING.get(trial.role, Keeping.NOTHING)):
        loaded = METHODS[trial.method].load(source, trial.load.changed(engine=trial.load.engine.loader))
    if trial.load.engine is Engine.TRANSFORMERS_STATIC:
        make_static(loaded.decoder)
    meter.loaded()
    if isinstance(loaded.decoder, CompilesAhead):
        run.enter("compile")
        loaded = compiled(loaded, loaded.decoder, points_of(trial))
        meter.begin()
        run.enter("load")
    return source, loaded, meter


def compiled(loaded: Loaded, decoder: CompilesAhead, points: Sequence[Point]) -> Loaded:
    """The same with its kernels compiled, and the seconds that took."""
    start = time.perf_counter()
    decoder.compile_ahead(points)
    took = add(loaded.startup.compile_s, time.perf_counter() - start)
    return replace(loaded, startup=loaded.startup.model_copy(update={"compile_s": took}))


def points_of(trial: Trial) -> list[Point]:
    """The batches that a trial's stages will ask for, as far as they are known before its texts are read."""
    asked, new = trial.speed, trial.speed.new_tokens
    shapes = [(1, 4)]  # the first, short run
    if trial.role is not Role.SCALE:
        shapes += [(batch, prompt) for prompt in asked.prompt_tokens for batch in asked.batch_sizes]
    if trial.role is Role.METHOD:
        batch, prompt = asked.batch_sizes[0], asked.prompt_tokens[0]
        shapes += [(TIMES * batch, prompt), (batch, TIMES * prompt)]
    points = [Point(rows=rows, prompt_tokens=prompt, positions=prompt + new) for rows, prompt in shapes]
    if trial.reads_text:
        points.append(Point(rows=trial.generation.batch_size, prompt_tokens=1, positions=new, text=True))
    return points


def make_static(decoder: Decoder) -> None:
    """Let a transformers decoder run with a static cache and a compiled step; ModelError where it cannot."""
    from quantbench.decoding.transformers import TransformersDecoder

    assert isinstance(decoder, TransformersDecoder)
    decoder.make_static()


def prepare(run: Run) -> None:
    """Set this process's device and threads."""
    load = run.trial.load
    make_current(load.device)
    if load.threads:
        import torch

        torch.set_num_threads(load.threads)


def make_current(device: str) -> None:
    """Let 'cuda:N' be the device of whatever names none: libraries, streams, kernels; no-op on a CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)


def keep_loaded(
    run: Run, source: ModelSource, loaded: Loaded, bandwidth: Bandwidth | None, import_s: float | None
) -> None:
    """What is known once the model is loaded; its first run is timed here."""
    from quantbench.measure import count_parameters, warm_up

    decoder, method = loaded.decoder, METHODS[run.trial.method]
    for sentence in (*source.warnings, *loaded.warnings):
        run.warn(sentence)
    startup = {"import_s": add(import_s, loaded.startup.import_s), "warmup_s": warm_up(decoder)}
    run.keep(
        model=model_info(source, count_parameters(decoder, source)),
        scheme=scheme_by_phase(method.scheme or held_scheme(decoder.schemes()), decoder.activation_bits()),
        group_size=method.group_size,
        calibration=loaded.calibration,
        engine=Engine(decoder.engine),
        bandwidth=bandwidth,
        startup=loaded.startup.model_copy(update=startup),
    )


def time_decoder(run: Run, decoder: Decoder, meter: "MemoryMeter") -> None:
    """The speed sweep, the memory that it took, and for a method what bounds a step."""
    from quantbench.measure import measure_speed

    run.enter("speed")
    points = measure_speed(decoder, run.trial, run.progress)
    run.keep(speed=points, memory=meter.finish(decoder), kernels=tuple(decoder.kernels()))
    if isinstance(decoder, CompilesShapes) and (seconds := decoder.compile_seconds()) is not None:
        startup = run.record.startup or Startup()
        run.keep(startup=startup.model_copy(update={"compile_s": seconds}))
    if run.trial.role is Role.METHOD:
        run.enter("experiments")
        find_bounds(run, decoder)


def find_bounds(run: Run, decoder: Decoder) -> None:
    """What tells why the headline's step takes as long as it does."""
    from quantbench.measure import joined, measure_bandwidth, measure_experiments, measure_prompt_times

    trial, bandwidth = run.trial, run.record.bandwidth
    headline = next((point for point in run.record.speed if point.decode_s), None)
    if headline is None or bandwidth is None or not headline.step_weight_bytes:
        return
    run.progress("what bounds a step", 0, 0)
    size = headline.step_weight_bytes
    after = measure_bandwidth(trial.load.device, when="after", step_bytes=size)
    run.keep(bandwidth=joined(bandwidth, after, size))
    run.keep(experiments=measure_experiments(decoder, trial, headline, run.progress))
    run.keep(prompt_effect=measure_prompt_times(decoder, trial, headline))
    if isinstance(decoder, TimesStages):
        context = headline.prompt_tokens + headline.new_tokens // 2
        run.keep(stages=dict(decoder.stage_shares(headline.batch_size, context)))


def model_info(source: ModelSource, parameters: int | None) -> ModelInfo:
    """What the record says of the model itself, from its files."""
    config = source.config
    architectures = config.get("architectures") or [config.get("model_type") or "unknown"]
    return ModelInfo(
        name=source.name,
        revision=source.revision,
        architecture=str(architectures[0]),
        parameters=parameters,
        layers=config.get("num_hidden_layers"),
        hidden_size=config.get("hidden_size"),
        vocab_size=config.get("vocab_size"),
        note=source.note,
    )


def add(first: float | None, second: float | None) -> float | None:
    """The sum of what was measured; None where neither was."""
    known = [value for value in (first, second) if value is not None]
    return sum(known) if known else None
