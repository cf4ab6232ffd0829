"""llama.cpp's real server on a tiny file, where the package xllamacpp is installed."""

import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import pytest
import torch

from quantbench.decoding import Request
from quantbench.methods import METHODS
from quantbench.serving.answers import Answer
from quantbench.serving.decoder import ServedDecoder, ServedModel
from quantbench.serving.dialects import LLAMA_CPP, Piece
from quantbench.serving.engines import SERVED
from quantbench.serving.finding import INSTALLABLE, find_engine
from quantbench.serving.http import Server
from quantbench.serving.identity import check_tokens, identify
from quantbench.serving.launching import Asked
from quantbench.serving.process import free_port, started, wait_ready
from quantbench.serving.scoring import score_llama_cpp
from quantbench.settings import Engine, LoadSettings
from quantbench.sources import load_tokenizer, open_source
from tests.gguf_files import write_tiny

VARIABLE = INSTALLABLE["llama.cpp"].variable
pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE) and find_spec("xllamacpp") is None,
    reason=f"the package xllamacpp is not installed, and {VARIABLE} names no Python that has it",
)
Gate = Callable[[int], list[float]]  # so many ratios
TEXT = (65, 40, 41, 70, 12, 99)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf", vocab_size=259)


@pytest.fixture(scope="module")
def served(file: Path) -> Iterator[ServedDecoder]:
    source, port = open_source(str(file)), free_port()
    asked = Asked(method="stored", device="cpu", threads=1, context=256, slots=2, port=port)
    launch = SERVED["llama.cpp"].launch(find_engine("llama.cpp", None), source, asked)
    with started("llama.cpp", launch.command, file.with_name("log"), launch.environment) as process:
        server = Server(f"http://127.0.0.1:{port}", died=process.ended)
        wait_ready(process, server, 120)
        found = identify(server, source, None)
        check_tokens(server, found, source, load_tokenizer(source))
        model = ServedModel(name=found.name, vocab_size=259, max_positions=256, slots=2)
        yield ServedDecoder(server, LLAMA_CPP, model, device="cpu", scorer=score_llama_cpp)


def test_forced_answers_have_their_length_and_the_servers_timings(served: ServedDecoder) -> None:
    requests = [Request(prompt_ids=TEXT, max_new_tokens=20) for _ in range(3)]
    served.start_timing()
    answers = served.generate(requests, batch_size=2)
    assert [len(answer.token_ids) for answer in answers] == [20, 20, 20]
    assert served.own_timings() is not None


def test_losses_are_those_of_the_same_file_in_our_engine(served: ServedDecoder, file: Path) -> None:
    load = LoadSettings(device="cpu", dtype="float32", engine=Engine.NATIVE)
    (logits,) = METHODS["stored"].load(open_source(str(file)), load).decoder.score([TEXT])
    log_p = logits[:-1].double().log_softmax(-1)
    (told,) = served.most_likely([TEXT], 16)
    ours = log_p.gather(1, torch.tensor(TEXT[1:])[:, None])[:, 0]
    assert torch.allclose(torch.tensor(told.true_log_p).double(), ours, atol=2e-2)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The client's time from the first token to the last over the server's own, of single answers.

    A token takes some milliseconds: much less could not be told from what HTTP costs.
    """
    folder = tmp_path_factory.mktemp("gate")
    sizes = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 6, "vocab_size": 259}
    file = write_tiny(folder / "m.gguf", kind="F32", num_attention_heads=8, num_key_value_heads=2, **sizes)
    source, port = open_source(str(file)), free_port()
    asked = Asked(method="stored", device="cpu", threads=1, context=256, slots=1, port=port)
    launch = SERVED["llama.cpp"].launch(find_engine("llama.cpp", None), source, asked)
    with started("llama.cpp", launch.command, folder / "log", launch.environment) as process:
        server = Server(f"http://127.0.0.1:{port}", died=process.ended)
        wait_ready(process, server, 120)
        model = ServedModel(name=str(file), vocab_size=259, max_positions=256, slots=1)
        decoder = ServedDecoder(server, LLAMA_CPP, model, device="cpu")

        def ratio() -> float:
            decoder.generate([Request(prompt_ids=TEXT, max_new_tokens=24)], batch_size=1)
            own, (client,) = decoder.own_timings(), decoder.request_times()[1]
            assert own is not None
            return client / own[1]

        yield lambda count: [ratio() for _ in range(count)]


def test_the_clients_speed_is_the_servers_own_within_three_per_cent(gate: Gate) -> None:
    assert median(gate(7)) == pytest.approx(1, abs=0.03)


def test_a_client_that_is_slower_than_its_server_is_found(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Answer.take

    def slow(self: Answer, piece: Piece) -> bool:
        time.sleep(0.012)  # longer than the server needs for a token
        return take(self, piece)

    monkeypatch.setattr(Answer, "take", slow)
    assert median(gate(5)) > 1.03
