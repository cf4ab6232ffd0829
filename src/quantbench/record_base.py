"""What all parts of a record share, and the parts that hold no measurement of the model at work.

`records.py` gives all of them under its own name.
"""

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# What arithmetic on a record may rely on: figures that no machine has are damage, not measurements.
Count = Annotated[int, Field(ge=0, le=10**18)]
Several = Annotated[int, Field(ge=1, le=10**18)]
NotNegative = Annotated[float, Field(ge=0, le=1e15)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Taken = Annotated[float, Field(gt=0, le=1e9)]  # seconds that something took
Rate = Annotated[float, Field(gt=0, le=1e18)]  # bytes a second
Share = Annotated[float, Field(ge=0, le=1.0001)]  # rounding included
Figure = Annotated[float, Field(ge=-1e15, le=1e15)]


class Outcome(StrEnum):
    """How the execution of one program ended."""

    PASSED = "passed"
    FAILED = "failed"  # a wrong answer or an exception
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    CRASHED = "crashed"  # the program's process died
    FORBIDDEN = "forbidden"  # it tried what the sandbox stops


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ModelInfo(Frozen):
    name: str
    revision: str | None = None  # the commit for a hub model, a content hash for a folder
    architecture: str  # 'Qwen2ForCausalLM'
    parameters: Count | None = None  # tied weights once
    layers: int | None = None
    hidden_size: int | None = None
    vocab_size: int | None = None
    note: str | None = None  # 'random weights', 'built-in, not comparable with ...'

    @field_validator("parameters", mode="after")
    @classmethod
    def _none_are_not_known(cls, count: int | None) -> int | None:
        """Older records have 0 where the number was not known."""
        return count or None


class HeldPlace(Frozen):
    """What one device holds of a model that was spread over several."""

    device: str
    holds: str  # 'embedding, layers 0 to 11'
    nbytes: Count  # resident


class Startup(Frozen):
    import_s: Seconds | None = None
    compile_s: Seconds | None = None  # kernels, before anything runs (next to nothing if cached), or steps
    load_s: Seconds | None = None  # reading and placing weights, quantizing included
    quantize_s: Seconds | None = None
    warmup_s: Seconds | None = None  # first run: compiling, graph capture


class Phase(Frozen):
    """Seconds of a trial in one of its stages."""

    wall_s: Seconds
    cpu_s: Seconds  # of its process and of those it started that have ended
    began_unix_s: NotNegative | None = None  # since 1970, by the system's clock, when it was first entered

    def plus(self, wall_s: float, cpu_s: float) -> "Phase":
        """With more of the same stage."""
        return Phase(wall_s=self.wall_s + wall_s, cpu_s=self.cpu_s + cpu_s, began_unix_s=self.began_unix_s)


class Failure(Frozen):
    stage: str  # 'load', 'size', 'speed', 'memory', 'task', 'process'
    kind: str  # the exception's name, or 'killed'
    message: str
    user_error: bool = False  # the message names what the user can do; there is no traceback
    traceback: str | None = None


class Environment(Frozen):
    platform: str
    python: str
    cpu: str
    cores: int
    memory_bytes: int
    gpu: str | None = None
    gpu_memory_bytes: int | None = None
    driver: str | None = None
    cuda: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    command: str | None = None
    threads: int | None = None
    extra: dict[str, Any] = Field(default_factory=dict)  # clocks, power state, foreign load


class Parting(Frozen):
    """Where two greedy answers to one problem part."""

    task_id: str
    token: Count  # the first that differs, from 0
    margin: NotNegative | None = None  # nats by which this trial's model prefers its own token there


class Agreement(Frozen):
    """Greedy answers of this trial beside those of another engine with the same checkpoint."""

    row: str  # the other's
    task: str
    answers: Several  # problems that both have answered
    identical: Count
    partings: tuple[Parting, ...] = ()


class Served(Frozen):
    """A trial's server: how it was started or found, and what it says of itself."""

    url: str
    name: str  # of the model, as the server calls it
    started: bool  # by this trial; else it ran before
    version: str | None = None
    command: tuple[str, ...] = ()
    threads: int | None = None
    context: int | None = None  # positions of one request
    slots: int | None = None  # requests that are answered at once
    log_file: str | None = None  # relative to the results folder
    prompts: str = "token ids"  # or 'text'
    facts: dict[str, str] = Field(default_factory=dict)  # of its log and its properties, in its words
    kv_pool_bytes: Count | None = None  # of cache that is set aside at the start, used or not
    http_ttft_s: tuple[
        NotNegative, ...
    ] = ()  # of a server without a model, for a prompt of the headline's length
    http_token_s: tuple[NotNegative, ...] = ()  # between its events


class ArrivalPoint(Frozen):
    """A server under requests that arrive at random times, at one rate; one entry an answered request."""

    rate: Taken  # requests a second
    prompt_tokens: Several
    new_tokens: Several  # forced
    duration_s: Taken  # from the first arrival to the last answer
    ttft_s: tuple[NotNegative, ...]  # from sending
    decode_s: tuple[NotNegative, ...]  # first token to last
    late_s: Figure = 0.0  # by which a request was sent after its time, at most
    steal_share: NotNegative | None = None  # of the cores' time, taken by the hypervisor
    foreign_cores: NotNegative | None = None  # cores that neither the server nor this program kept busy
    failed: Count = 0
    failure: str | None = None  # of the first that failed

    @model_validator(mode="after")
    def _one_entry_a_request(self) -> Self:
        if len(self.ttft_s) != len(self.decode_s):
            raise ValueError("its lists of requests are of unequal lengths")
        return self
