"""What was measured: a Record is one trial's outcome, immutable, versioned, raw values only.

Bytes are int, seconds are float. None means 'not measured', never zero. Anything derived (a rate, a
ratio, an interval) is computed by `analysis` from these values and is not stored. What has an entry a problem
is read from its own file when it is looked at, see parts.py.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from quantbench.harness_record import HarnessResult
from quantbench.kernels import Kernels
from quantbench.parts import Apart
from quantbench.plan import Role, Trial
from quantbench.record_base import Agreement as Agreement
from quantbench.record_base import ArrivalPoint as ArrivalPoint
from quantbench.record_base import Count, Figure, Frozen, NotNegative, Rate, Seconds, Several, Share, Taken
from quantbench.record_base import Environment as Environment
from quantbench.record_base import Failure as Failure
from quantbench.record_base import HeldPlace as HeldPlace
from quantbench.record_base import ModelInfo as ModelInfo
from quantbench.record_base import Outcome as Outcome
from quantbench.record_base import Parting as Parting
from quantbench.record_base import Phase as Phase
from quantbench.record_base import Served as Served
from quantbench.record_base import Startup as Startup
from quantbench.schema import SCHEMA_VERSION
from quantbench.settings import Engine
from quantbench.settings.base import places_of

METERED_S = 2.0  # seconds of repetitions from which energy is known: the driver's counter ticks every 0.1 s
NO_SANDBOX = "none: no program is run"  # the mode of a task whose answers are graded without one


class Size(Frozen):
    weight_bytes: Count  # resident after a forward, scales and zero points included, tied weights once
    checkpoint_bytes: Count | None = None  # on disk, as published; None for random weights
    effective_bits: Annotated[float, Field(ge=0, le=1e6)]  # 8 * weight_bytes / parameters
    quantized_parameters: Count = 0
    kept_parameters: Count = 0  # of matrices that stayed at 16 bits or more although the method quantizes
    kept_layers: tuple[str, ...] = ()  # their names
    schemes: dict[str, int] = Field(default_factory=dict)  # scheme -> parameters held that way


class HeldKind(Frozen):
    """All matrices of one kind ('q', 'down', 'embedding') that are held and multiplied in one way."""

    module: str
    format: str  # 'Q4_K', 'nf4', 'W16'
    group_size: int | None = None  # inputs that share a scale
    matrices: Count
    parameters: Count
    nbytes: Count  # resident, scales and zero points included
    kernel: str  # of new tokens
    prompt_kernel: str


class SpeedPoint(Frozen):
    """Raw times of one batch size and prompt length; one entry a repetition, in the order run."""

    batch_size: Several
    prompt_tokens: Several
    new_tokens: Several  # forced
    ttft_s: tuple[Taken, ...]  # prompt to first token on the host
    decode_s: tuple[Seconds, ...]  # first token to last, that is new_tokens - 1 steps
    cpu_share: tuple[NotNegative, ...] = ()  # CPU time / (wall time x threads) of each repetition
    queue_share: tuple[NotNegative, ...] = ()  # of the threads' time in which they were ready and had no core
    steal_share: tuple[NotNegative, ...] = ()  # of the cores' time that the hypervisor took
    foreign_cores: tuple[NotNegative, ...] = ()  # cores that other programs kept busy
    foreign_gpu: tuple[NotNegative, ...] = ()  # of the GPU's time, other programs' kernels
    round_of: tuple[int, ...] = ()  # the round each repetition belongs to
    kv_bytes: Count | None = None  # read by one step at the middle of the decode
    step_weight_bytes: Count | None = None  # weights that one step must read
    joules: tuple[Figure, ...] = ()
    server_ttft_s: tuple[NotNegative, ...] = ()  # as a server timed it by itself
    server_decode_s: tuple[NotNegative, ...] = ()
    request_ttft_s: tuple[
        tuple[NotNegative, ...], ...
    ] = ()  # of each of a repetition's requests, from sending
    request_decode_s: tuple[tuple[NotNegative, ...], ...] = ()
    warm_s: float | None = None  # the untimed run of this shape before the first repetition
    failure: str | None = None

    @model_validator(mode="after")
    def _one_entry_a_repetition(self) -> Self:
        if len(self.ttft_s) != len(self.decode_s):
            raise ValueError("its lists of repetitions are of unequal lengths")
        if self.new_tokens > 1 and not all(self.decode_s):
            raise ValueError("it generated tokens in no time")
        return self


class MemoryKind(StrEnum):
    """Whose memory a figure is of."""

    CUDA = "cuda"
    CPU = "cpu"


class Memory(Frozen):
    kind: MemoryKind
    load_peak_bytes: Count | None = None  # cuda: allocator, cpu: resident set
    peak_allocated_bytes: Count | None = None  # cuda only, while running
    peak_reserved_bytes: Count | None = None  # cuda only, while running
    process_bytes: Count | None = None  # cuda: the driver's figure; cpu: peak resident set of the processes
    baseline_process_bytes: Count | None = None  # the process before the model was loaded
    cache_bytes: Count | None = None  # KV cache of the largest batch and length that ran

    @property
    def headline_bytes(self) -> int | None:
        """The figure of the report's memory column: allocator peak on CUDA, peak resident set on CPU."""
        return self.peak_allocated_bytes if self.kind is MemoryKind.CUDA else self.process_bytes


class Completion(Frozen):
    task_id: str
    sample: Count = 0
    outcome: Outcome
    detail: str = ""
    finish_reason: str  # 'eos', 'stop', 'length' or 'unanswered'
    tokens: Count
    seconds: Seconds | None = None  # of the execution
    base_outcome: Outcome | None = None  # of HumanEval+ and MBPP+: under the base's inputs alone
    code_found: bool = True  # the answer held something that could be run


Completions = Annotated[Sequence[Completion], Apart(Completion)]


class TaskResult(Frozen):
    task: str
    protocol: str  # name and version of prompt, stops and extraction
    protocol_reason: str | None = None  # whether the model is taken for an instruct model, and why
    data_sha256: str
    comparable: bool  # the data are the published ones
    problems: Several
    completions: Completions
    passed: Count | None = None  # problems; only where single outcomes are not known, as in imported figures
    samples_file: str | None = None  # relative to the results folder
    sandbox: str  # the mode that ran
    test_seed: int | None = None  # of the random numbers that the tests drew
    generate_s: Seconds
    execute_s: Seconds
    verdicts_found: Count = 0  # of completions whose program the run had executed before
    generated_tokens: Count
    batch_size: Several
    temperature: NotNegative = 0.0
    note: str | None = None

    @model_validator(mode="after")
    def _no_more_passed_than_there_are(self) -> Self:
        if (self.passed or 0) > self.problems:
            raise ValueError("more problems passed than there are")
        return self


class ProblemDistance(Frozen):
    """Teacher-forced distance from the baseline over one problem's tokens."""

    task_id: str
    tokens: Several  # predicted ones, that is all but the text's first
    prompt_tokens: int = 0  # of the text's, computed as a prompt; the others as an answer
    nll: Figure  # sum of the method's negative log-likelihoods, nats
    baseline_nll: Figure
    kl: tuple[NotNegative, ...] = ()  # one value a token, nats, lower bound over top-k and a rest bucket
    same_top: Count = 0  # tokens whose most likely token is the baseline's
    confidence: tuple[Share, ...] = ()  # of the baseline in its most likely token, one probability a token

    @model_validator(mode="after")
    def _one_value_a_token(self) -> Self:
        lengths = {len(self.kl), len(self.confidence)} - {0}
        if lengths - {self.tokens} or self.same_top > self.tokens:
            raise ValueError("its values do not fit its number of tokens")
        return self


class Distance(Frozen):
    text: str  # what was scored
    top_k: int
    problems: Annotated[Sequence[ProblemDistance], Apart(ProblemDistance)]


class PromptEffect(Frozen):
    """The same decoder with fewer bits in its prompts (as it runs) and with all of them, in turns."""

    bits: int  # of prompts' activations as it runs
    ttft_s: tuple[float, ...] = ()  # at the headline point
    exact_ttft_s: tuple[float, ...] = ()
    kl: tuple[float, ...] = ()  # mean of each text after its prompt, (exact || as it runs), nats
    tokens: int = 0  # of those predictions, all texts together


class Perplexity(Frozen):
    """Losses over one text by one convention, window by window; a window's mean loss has its weight."""

    text: str  # the file's name
    convention: str  # the program or page that it is of
    window: Several  # tokens
    stride: Several  # tokens
    nll: tuple[Figure, ...]  # sum over a window's counted tokens, nats
    counted: tuple[Several, ...]
    weights: tuple[Several, ...]

    @model_validator(mode="after")
    def _one_value_a_window(self) -> Self:
        if not len(self.nll) == len(self.counted) == len(self.weights) > 0:
            raise ValueError("its lists of windows are of unequal lengths")
        return self


class Calibration(Frozen):
    """What was run through the model, to learn what each matrix's inputs are like."""

    text: str | None  # 'quantbench's own calibration.txt'; None: token ids drawn at random
    sha256: str  # of the whole text, or of the ids
    tokens: Count
    feedback: bool = False  # whether matrices were rounded with error feedback (GPTQ) while it ran
    kept: bool = False  # taken over from the method's first trial, which ran it


class Reading(Frozen):
    """The best rate of one way of reading a buffer of one size."""

    size_bytes: Count
    way: str  # 'float32 sum'
    when: str  # 'before' or 'after' the speed trials
    bytes_per_s: Rate


class Bandwidth(Frozen):
    """Read bandwidth in the trial's own process: of the memory, and of a buffer as large as a step reads."""

    read_bytes_per_s: Rate  # the best of a buffer that no cache holds
    method: str
    step_bytes_per_s: Rate | None = None  # the best of a buffer as large as the weights of a step
    readings: tuple[Reading, ...] = ()


class Record(Frozen):
    schema_version: int = SCHEMA_VERSION
    trial_id: str
    created_at: str  # ISO 8601, UTC
    quantbench_version: str
    trial: Trial
    environment: Environment
    model: ModelInfo | None = None
    scheme: str | None = None  # 'W4A16'; 'W8A32, prompts W8A8' where phases differ
    group_size: int | None = None
    engine: Engine | None = None  # what really ran
    kernels: Kernels = ()  # that ran, fall-backs included
    served: Served | None = None  # of an engine behind a server
    startup: Startup | None = None
    calibration: Calibration | None = None
    size: Size | None = None
    storage: tuple[HeldKind, ...] = ()  # every matrix, by kind; norms and biases together
    places: tuple[HeldPlace, ...] = ()  # of a model that was spread over several devices
    memory: Memory | None = None
    bandwidth: Bandwidth | None = None
    speed: tuple[SpeedPoint, ...] = ()
    arrivals: tuple[ArrivalPoint, ...] = ()  # requests at random times
    experiments: tuple[SpeedPoint, ...] = ()  # the headline's step with more rows, and at a longer context
    prompt_effect: PromptEffect | None = None  # None where prompts have all bits
    stages: dict[str, float] = Field(default_factory=dict)  # stage -> share of a step's layers
    tasks: tuple[TaskResult, ...] = ()
    other_protocols: tuple[TaskResult, ...] = ()  # the same tasks asked in other ways than the first
    agreements: tuple[Agreement, ...] = ()  # with other engines
    distance: Distance | None = None
    perplexity: Annotated[Sequence[Perplexity], Apart(Perplexity)] = ()
    harness: Annotated[Sequence[HarnessResult], Apart(HarnessResult)] = ()  # tasks of lm-eval
    took_s: Seconds | None = None  # from the start of the trial's process to its end
    phases: dict[str, Phase] = Field(default_factory=dict)  # by stage, in the order run
    warnings: tuple[str, ...] = ()
    failure: Failure | None = None

    @field_validator("trial", mode="before")
    @classmethod
    def _known_settings(cls, trial: Any) -> Any:
        """Settings that no Trial has any more are left out."""
        if not isinstance(trial, Mapping):
            return trial
        return {name: value for name, value in trial.items() if name in places_of(Trial)}

    @property
    def completed(self) -> bool:
        return self.failure is None

    @property
    def method(self) -> str:
        return self.trial.name

    @property
    def role(self) -> Role:
        return self.trial.role
