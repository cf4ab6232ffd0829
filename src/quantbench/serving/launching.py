"""What all engines that are started here share: what is asked of a server, its command, what its log says."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quantbench.serving.dialects import Dialect
from quantbench.serving.finding import Found
from quantbench.serving.scoring import Scorer
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource

STORED = "stored"
FLOATS = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
MOST_FACTS = 3  # unlike matches of one kind that are told
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "GB": 1 << 30}  # as these programs count


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a server is to be started with."""

    method: str
    device: str
    threads: int | None
    context: int  # positions of one request
    slots: int  # requests at once
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is started."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    served_name: str
    kv_pool_bytes: int | None = None  # set aside at the start, used or not


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEngine:
    """One engine: all that differs between them."""

    name: str
    dialect: Dialect
    scorer: Scorer
    unsupported: Callable[[ModelSource, str], str | None]  # why it cannot run a model's method, with the fix
    launch: Callable[[Found, ModelSource, Asked], Launch]
    facts: Callable[[str], dict[str, str]]  # what its log says of how it runs
    pool: Callable[[str], int | None]  # bytes of cache that its log says it has set aside


def folders_alone(title: str) -> Callable[[ModelSource, str], str | None]:
    """What an engine that runs folders, as floats or as they are quantized, does not run."""

    def unsupported(source: ModelSource, method: str) -> str | None:
        if isinstance(source, GgufSource) or source.folder is None:
            return (
                f"{title} reads folders of safetensors, and '{source.name}' is none; give the folder or hub "
                "id of the model"
            )
        stored = bool(source.config.get("quantization_config"))
        if stored and method != STORED:
            return f"{title} runs a quantized folder as it is stored, not as {method}; use --methods stored"
        if not stored and method not in FLOATS:
            fix = "use --methods fp16 or bf16, or a quantized folder"
            return f"{title} does not make {method} of a folder; {fix}"
        return None

    return unsupported


def gpu_of(device: str) -> dict[str, str]:
    """The environment in which 'cuda:N' is the only GPU; of the numbers that this process sees."""
    if not device.startswith("cuda"):
        return {}
    index = int(device.partition(":")[2] or 0)
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return {"CUDA_VISIBLE_DEVICES": visible[index] if index < len(visible) else str(index)}


def kv_bytes(config: Mapping[str, object], positions: int) -> int | None:
    """Bytes of a 16-bit cache of so many positions; None where the configuration lacks a size."""
    layers, heads = config.get("num_hidden_layers"), config.get("num_attention_heads")
    hidden = config.get("hidden_size")
    if not (isinstance(layers, int) and isinstance(heads, int) and isinstance(hidden, int) and heads):
        return None
    shared, width = config.get("num_key_value_heads"), config.get("head_dim")
    shared = shared if isinstance(shared, int) else heads
    width = width if isinstance(width, int) else hidden // heads
    return 2 * 2 * layers * shared * width * positions


def facts_in(patterns: Mapping[str, re.Pattern[str]]) -> Callable[[str], dict[str, str]]:
    """What the lines of a log that fit each pattern say, each once and the first few of them."""

    def read(log: str) -> dict[str, str]:
        found = {}
        for name, pattern in patterns.items():
            told = dict.fromkeys(" ".join(match[1].split())[:200] for match in pattern.finditer(log))
            if told:
                found[name] = ", ".join(list(told)[:MOST_FACTS])
        return found

    return read


def bytes_in(pattern: re.Pattern[str]) -> Callable[[str], int | None]:
    """The sum of the sizes that a pattern finds in a log, as pairs of number and unit; None for none.

    A line that several workers write counts for each of them.
    """

    def read(log: str) -> int | None:
        sizes = [
            float(number) * UNITS[unit]
            for match in pattern.finditer(log)
            for number, unit in zip(match.groups()[::2], match.groups()[1::2], strict=True)
            if number is not None
        ]
        return round(sum(sizes)) if sizes else None

    return read
