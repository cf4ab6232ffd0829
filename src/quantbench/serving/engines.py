"""The engines that are started here: what each can run, its command, and what it says of the loaded model."""

import json
import math
import re
from pathlib import Path

from quantbench.errors import UsageError
from quantbench.serving import xllamacpp_server
from quantbench.serving.dialects import LLAMA_CPP, VLLM
from quantbench.serving.finding import Found
from quantbench.serving.launching import (
    FLOATS,
    STORED,
    Asked,
    Launch,
    ServedEngine,
    bytes_in,
    facts_in,
    folders_alone,
    gpu_of,
    kv_bytes,
)
from quantbench.serving.scoring import VLLM_MOST, VllmScorer, score_llama_cpp
from quantbench.serving.sglang import SGLANG_ENGINE
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource
from quantbench.units import show_bytes

LEAST_CACHE = 1 << 30  # vLLM counts its CPU cache in whole GiB
SPARE = 2  # of the positions that a cache is asked for: vLLM keeps some blocks


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


LLAMA_LINES = {
    "flash attention": re.compile(r"flash_attn\s*=\s*(\w+)"),
    "instructions": re.compile(r"system_info: (.*)"),
    "weights": re.compile(r"model buffer size =\s*(.*)"),
    "KV cache": re.compile(r"KV buffer size =\s*(.*)"),
    "compute buffer": re.compile(r"compute buffer size =\s*(.*)"),
}
LLAMA_POOL = re.compile(r"KV buffer size =\s*([\d.]+) ([KMG]iB)")
KERNEL_OF = r"for (?:\w*(?:Linear|Quant|Tensors|GPTQ|AWQ|Fp8)\w*|mixed-precision linear|\w+ GEMM)"
VLLM_LINES = {
    "attention": re.compile(r"Using (\S+) (?:attention )?backend", re.IGNORECASE),
    "weights": re.compile(r"Model loading took (.*?)(?: and|$)", re.MULTILINE),
    "KV cache": re.compile(r"(?:CPU|GPU) KV cache size: (.*)"),
    "linear": re.compile(rf"(?:Using|Selected) (\w+ {KERNEL_OF})"),
    "linear instead": re.compile(r"Failed to create (oneDNN linear, fallback to torch linear)"),
    "compiled": re.compile(r"Enforce eager set, (disabling torch\.compile)"),
}
VLLM_POOL = re.compile(
    r"Available KV cache memory: ([\d.]+) (GiB)"
    r"|(?:Explicitly|Auto) set \(([\d.]+)/[\d.]+\)+ (GiB) for KV cache"
)

SERVED = {
    "llama.cpp": ServedEngine(
        name="llama.cpp",
        dialect=LLAMA_CPP,
        scorer=score_llama_cpp,
        unsupported=llama_cpp_unsupported,
        launch=launch_llama_cpp,
        facts=facts_in(LLAMA_LINES),
        pool=bytes_in(LLAMA_POOL),
    ),
    "vllm": ServedEngine(
        name="vllm",
        dialect=VLLM,
        scorer=VllmScorer(VLLM_MOST),
        unsupported=folders_alone("vLLM"),
        launch=launch_vllm,
        facts=facts_in(VLLM_LINES),
        pool=bytes_in(VLLM_POOL),
    ),
    "sglang": SGLANG_ENGINE,
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
