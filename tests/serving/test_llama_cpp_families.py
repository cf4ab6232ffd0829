"""GGUF files of every family give in llama.cpp's real server what they give here."""

import json
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from quantbench.serving.engines import SERVED
from quantbench.serving.finding import INSTALLABLE, find_engine
from quantbench.serving.http import Server
from quantbench.serving.launching import Asked
from quantbench.serving.process import free_port, started, wait_ready
from quantbench.sources import open_source

pytest.importorskip("gguf")
from tests.gguf_models import write_model
from tests.sources.test_gguf_families import VARIANTS, model_of, scored

VARIABLE = INSTALLABLE["llama.cpp"].variable
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not os.environ.get(VARIABLE) and find_spec("xllamacpp") is None,
        reason=f"the package xllamacpp is not installed, and {VARIABLE} names no Python that has it",
    ),
]
VOCABULARY, CONTEXT, COMPARED = 259, 256, 15
TEXT = (65, 40, 41, 70, 12, 99, 7, 200, 31, 150, 18, 90)
CHANGES: dict[str, dict[str, Any]] = {
    "phi3": {"sliding_window": None},  # llama.cpp leaves it out
    # within the server's context it takes the factors of short texts, as transformers does
    "phi4-mini": {"original_max_position_embeddings": 512, "max_position_embeddings": 1024},
}
REFUSED = ("llama-biases", "gpt-neox-serial")  # by llama.cpp, whose families have not, or must have, biases


@contextmanager
def serving(file: Path) -> Iterator[str]:
    """The address of llama.cpp's server over a file."""
    port = free_port()
    asked = Asked(method="stored", device="cpu", threads=1, context=CONTEXT, slots=1, port=port)
    launch = SERVED["llama.cpp"].launch(find_engine("llama.cpp", None), open_source(str(file)), asked)
    with started("llama.cpp", launch.command, file.with_name("log"), launch.environment) as process:
        address = f"http://127.0.0.1:{port}"
        wait_ready(process, Server(address, died=process.ended), 120)
        yield address


def best_tokens(address: str, prompt: tuple[int, ...]) -> dict[int, float]:
    """Token -> log-probability of the best ones behind a prompt; none where the text ends there."""
    asked = {"prompt": prompt, "n_predict": 1, "n_probs": 20, "temperature": 0.0, "samplers": []}
    body = json.dumps(asked | {"cache_prompt": False}).encode()
    request = urllib.request.Request(f"{address}/completion", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        told = json.load(answer).get("completion_probabilities") or [{"top_logprobs": []}]
    return {entry["id"]: entry["logprob"] for entry in told[0]["top_logprobs"][:COMPARED]}


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in REFUSED])
def test_llama_cpp_reads_the_same_model(variant: str, tmp_path: Path) -> None:
    sizes = {} if variant == "phi4-mini" else {"hidden_size": 64, "head_dim": 16}
    if variant == "gpt-neox":
        del sizes["head_dim"]
    model = model_of(variant, vocab_size=VOCABULARY, **sizes, **CHANGES.get(variant, {}))
    file = write_model(model, tmp_path / "m.gguf", tokens=True)
    ours, compared = scored(file, TEXT).double().log_softmax(-1), 0
    with serving(file) as address:
        for length in (2, 3, 5, 7, 9, 12):
            for token, told in best_tokens(address, TEXT[:length]).items():
                assert abs(told - float(ours[length - 1, token])) < 0.01
                compared += 1
    assert compared >= 2 * COMPARED
