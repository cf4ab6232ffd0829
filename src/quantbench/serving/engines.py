"""The engines that are started here: what each can run, its command, and what it says of the loaded model."""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from quantbench.errors import UsageError
from quantbench.serving import xllamacpp_server
from quantbench.serving.dialects import LLAMA_CPP, VLLM, Dialect
from quantbench.serving.finding import Found
from quantbench.serving.scoring import VLLM_MOST, Scorer, VllmScorer, score_llama_cpp
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource
from quantbench.units import show_bytes

STORED = "stored"
FLOATS = {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32"}
LEAST_CACHE = 1 << 30  # vLLM counts its CPU cache in whole GiB
SPARE = 2  # of the positions that a cache is asked for: vLLM keeps some blocks


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


def llama_cpp_unsupported(source: ModelSource, method: str) -> str | None:
    """llama.cpp runs GGUF files as they are stored."""
    if not isinstance(source, GgufSource):
        return (
            f"llama.cpp reads GGUF files alone, and '{source.name}' is none; convert it with llama.cpp's "
            "convert_hf_to_gguf.py and give that file"
        )
    if method != STORED:
        return f"llama.cpp runs a GGUF file as it is stored, not as {method}; use --methods stored"
    return None


def vllm_unsupported(source: ModelSource, method: str) -> str | None:
    """vLLM runs folders, as floats or as they are quantized."""
    if isinstance(source, GgufSource) or source.folder is None:
        return (
            f"vLLM reads folders of safetensors, and '{source.name}' is none; give the folder or hub id of "
            "the model"
        )
    stored = bool(source.config.get("quantization_config"))
    if stored and method != STORED:
        return f"vLLM runs a quantized folder as it is stored, not as {method}; use --methods stored"
    if not stored and method not in FLOATS:
        return f"vLLM does not make {method} of a folder; use --methods fp16 or bf16, or a quantized folder"
    return None


def launch_llama_cpp(found: Found, source: ModelSource, asked: Asked) -> Launch:
    """llama.cpp's server for a file: inside a Python process by xllamacpp, or llama-server itself."""
    assert isinstance(source, GgufSource)
    file, layers = str(source.path.resolve()), 0 if asked.device == "cpu" else 999
    pool = kv_bytes(source.config, asked.slots * asked.context)
    if found.is_python:
        settings = {
            "file": file,
            "slots": asked.slots,
            "context": asked.context,
            "threads": asked.threads,
            "gpu_layers": layers,
            "port": asked.port,
        }
        command = [found.path, str(xllamacpp_server.__file__), json.dumps(settings)]
    else:
        command = [found.path, "-m", file, "--host", "127.0.0.1", "--port", str(asked.port)]
        command += ["-c", str(asked.slots * asked.context), "-np", str(asked.slots), "-ngl", str(layers)]
        command += ["--metrics", "--slots", "--props"]
        if asked.threads:
            command += ["-t", str(asked.threads), "-tb", str(asked.threads)]
    return Launch(
        command=tuple(command),
        environment=gpu_of(asked.device),
        served_name=file,
        kv_pool_bytes=pool,
    )


def launch_vllm(found: Found, source: ModelSource, asked: Asked) -> Launch:
    """vLLM's server for a folder; on a CPU its cache has the fewest whole GiB that hold what is asked."""
    folder = str(Path(source.folder or "").resolve())
    arguments = ["--served-model-name", source.name, "--host", "127.0.0.1", "--port", str(asked.port)]
    arguments += ["--max-model-len", str(asked.context), "--max-num-seqs", str(asked.slots)]
    arguments += ["--max-logprobs", str(VLLM_MOST), "--generation-config", "vllm"]
    arguments += ["--dtype", FLOATS.get(asked.method, "auto"), "--no-enable-prefix-caching"]
    environment = gpu_of(asked.device)
    pool = None
    if asked.device == "cpu":
        wanted = kv_bytes(source.config, SPARE * asked.slots * asked.context) or 0
        pool = max(1, math.ceil(wanted / LEAST_CACHE)) * LEAST_CACHE
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(pool // LEAST_CACHE)
        if asked.threads:
            environment["VLLM_CPU_OMP_THREADS_BIND"] = f"0-{asked.threads - 1}"
        arguments += ["--enforce-eager"]
    if found.is_python:
        command = [found.path, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, *arguments]
    else:
        command = [found.path, "serve", folder, *arguments]
    return Launch(
        command=tuple(command), environment=environment, served_name=source.name, kv_pool_bytes=pool
    )


def gpu_of(device: str) -> dict[str, str]:
    """The environment in which 'cuda:N' is the only GPU; of the numbers that this process sees."""
    import os

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


LLAMA_LINES = {
    "flash attention": re.compile(r"flash_attn\s*=\s*(\w+)"),
    "instructions": re.compile(r"system_info: (.*)"),
    "weights": re.compile(r"model buffer size =\s*(.*)"),
    "KV cache": re.compile(r"KV buffer size =\s*(.*)"),
    "compute buffer": re.compile(r"compute buffer size =\s*(.*)"),
}
VLLM_LINES = {
    "attention": re.compile(r"Using (\S+) (?:attention )?backend", re.IGNORECASE),
    "weights": re.compile(r"Model loading took (.*?)(?: and|$)"),
    "KV cache": re.compile(r"(?:CPU|GPU) KV cache size: (.*)"),
    "linear": re.compile(r"Using (\S+) for \S*(?:Linear|Quant)\S*"),
}


def facts_in(patterns: Mapping[str, re.Pattern[str]]) -> Callable[[str], dict[str, str]]:
    """What the first line of a log that fits each pattern says."""

    def read(log: str) -> dict[str, str]:
        found = {name: pattern.search(log) for name, pattern in patterns.items()}
        return {name: " ".join(match[1].split())[:200] for name, match in found.items() if match}

    return read


SERVED = {
    "llama.cpp": ServedEngine(
        name="llama.cpp",
        dialect=LLAMA_CPP,
        scorer=score_llama_cpp,
        unsupported=llama_cpp_unsupported,
        launch=launch_llama_cpp,
        facts=facts_in(LLAMA_LINES),
    ),
    "vllm": ServedEngine(
        name="vllm",
        dialect=VLLM,
        scorer=VllmScorer(VLLM_MOST),
        unsupported=vllm_unsupported,
        launch=launch_vllm,
        facts=facts_in(VLLM_LINES),
    ),
}


def unsupported_reason(engine: str, source: ModelSource, method: str) -> str | None:
    """Why an engine cannot run a model's method, in one sentence that names the fix; None when it can."""
    return SERVED[engine].unsupported(source, method) if engine in SERVED else None


def check_context(asked: Asked, source: ModelSource) -> None:
    """UsageError where the caches of all slots would be absurdly large."""
    needed = kv_bytes(source.config, asked.slots * asked.context)
    if needed is not None and needed > 1 << 40:
        raise UsageError(
            f"{asked.slots} slots of {asked.context} positions need {show_bytes(needed)} of cache; "
            "ask for fewer"
        )
