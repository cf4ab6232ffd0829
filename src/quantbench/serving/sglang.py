"""sglang as an engine: its server's command, its answers, what its log says.

Written after sglang's documentation and source; it was not run with the real program, which needs a GPU or a
CPU with AMX.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from quantbench.decoding import MostLikely
from quantbench.errors import ServerError
from quantbench.serving.dialects import SGLANG
from quantbench.serving.finding import Found
from quantbench.serving.http import Server
from quantbench.serving.launching import (
    FLOATS,
    Asked,
    Launch,
    ServedEngine,
    bytes_in,
    facts_in,
    folders_alone,
    gpu_of,
)
from quantbench.serving.scoring import gathered
from quantbench.sources import ModelSource


def launch_sglang(found: Found, source: ModelSource, asked: Asked) -> Launch:
    """sglang's server for a folder: no cached prompts, no defaults from the model's generation settings."""
    arguments = ["--model-path", str(Path(source.folder or "").resolve())]
    arguments += ["--served-model-name", source.name, "--host", "127.0.0.1", "--port", str(asked.port)]
    arguments += ["--context-length", str(asked.context), "--max-running-requests", str(asked.slots)]
    arguments += ["--dtype", FLOATS.get(asked.method, "auto"), "--disable-radix-cache"]
    arguments += ["--sampling-defaults", "openai", "--enable-metrics"]
    environment = gpu_of(asked.device)
    if asked.device == "cpu":
        arguments += ["--device", "cpu"]
        environment["SGLANG_USE_CPU_ENGINE"] = "1"
        if asked.threads:
            environment["SGLANG_CPU_OMP_THREADS_BIND"] = f"0-{asked.threads - 1}"
    command = [found.path, "-m", "sglang.launch_server"] if found.is_python else [found.path, "serve"]
    return Launch(command=(*command, *arguments), environment=environment, served_name=source.name)


def score_sglang(
    server: Server, model: str, sequences: Sequence[Sequence[int]], k: int
) -> Iterator[MostLikely]:
    """A text a request: log-probabilities of a prompt's own tokens, by sglang's `/generate`."""
    for ids in sequences:
        yield gathered(list(places_of(server, ids, k)), k)


def next_sglang(server: Server, prefix: Sequence[int], other: int, k: int) -> dict[int, float]:
    """Log-probabilities of the k most likely tokens behind a prefix, the token `other` always among them."""
    *_, (_, known) = places_of(server, [*prefix, other], k)
    return known


def places_of(server: Server, ids: Sequence[int], k: int) -> Iterator[tuple[int, dict[int, float]]]:
    """Each token but the first with log-probabilities by token id; ServerError where they are missing."""
    body = {
        "input_ids": list(ids),
        "sampling_params": {"max_new_tokens": 1, "temperature": 0},
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": k,
    }
    return read_sglang(server.request("/generate", body), ids)


def read_sglang(answer: Any, ids: Sequence[int]) -> Iterator[tuple[int, dict[int, float]]]:
    """An answer's pairs of log-probability and token, held against the text's own tokens."""
    try:
        meta = answer["meta_info"]
        own, best = meta["input_token_logprobs"], meta["input_top_logprobs"]
        if not len(own) == len(best) == len(ids):
            raise ValueError(f"{len(own)} and {len(best)} of {len(ids)} tokens")
        for token, (value, named, *_), others in list(zip(ids, own, best, strict=True))[1:]:
            if named != token:
                raise ValueError(f"token {named} in place of {token}")
            yield token, {int(one): float(other) for other, one, *_ in others} | {token: float(value)}
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"sglang gave no log-probabilities of a prompt ({error}); use another version"
        ) from error


LINES = {
    "attention": re.compile(r"Use (\w+)(?: attention)? backend"),
    "weights": re.compile(r"Load weight end\. (.*)"),
    "KV cache": re.compile(r"KV Cache is allocated\. (.*)"),
}
POOL = re.compile(
    r"KV Cache is allocated\..*? (?:K size: ([\d.]+) (GB), V size: ([\d.]+) (GB)|KV size: ([\d.]+) (GB))"
)
SGLANG_ENGINE = ServedEngine(
    name="sglang",
    dialect=SGLANG,
    scorer=score_sglang,
    unsupported=folders_alone("sglang"),
    launch=launch_sglang,
    facts=facts_in(LINES),
    pool=bytes_in(POOL),
)
