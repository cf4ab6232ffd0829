"""Every matrix of a loaded model is accounted for: how it is held, in how many bytes, by what multiplied."""

from pathlib import Path

import pytest

from quantbench.measure import audit, measure_size
from quantbench.measure.storage import REST
from quantbench.methods import METHODS, LoadSettings
from quantbench.records import HeldKind
from quantbench.report.sections.setup import kernel_table, storage_table
from quantbench.settings import Engine
from quantbench.sources import ModelSource, open_source
from tests.gguf_files import write_tiny
from tests.model_folders import tiny_config, tiny_source, write_folder


def account(source: ModelSource, method: str, engine: Engine = Engine.NATIVE) -> tuple[HeldKind, ...]:
    load = LoadSettings(device="cpu", dtype="float32", engine=engine)
    decoder = METHODS[method].load(source, load).decoder
    kinds = audit(decoder, source)
    size = measure_size(decoder, source)
    assert sum(kind.nbytes for kind in kinds) == size.weight_bytes
    assert 8 * size.weight_bytes / sum(kind.parameters for kind in kinds) == pytest.approx(
        size.effective_bits
    )
    return kinds


@pytest.mark.parametrize("method", ["fp32", "fp16", "int8", "int4"])
@pytest.mark.parametrize("tied", [True, False])
def test_bytes_of_all_kinds_are_those_of_the_model(method: str, tied: bool) -> None:
    kinds = account(tiny_source(tie_word_embeddings=tied, num_hidden_layers=2), method)
    matrices = {kind.module: kind.matrices for kind in kinds}
    ends = {"embedding, tied head": 1} if tied else {"embedding": 1, "head": 1}
    assert matrices == {**ends, **dict.fromkeys(("q", "k", "v", "o", "gate", "up", "down"), 2), REST: 0}


def test_a_gguf_file_is_held_in_its_own_types(tmp_path: Path) -> None:
    kinds = account(open_source(str(write_tiny(tmp_path / "m.gguf"))), "stored")
    assert {kind.format for kind in kinds if kind.module != REST} == {"Q8_0"}
    assert all(8 * kind.nbytes == kind.parameters * 8.5 for kind in kinds if kind.module != REST)


def test_transformers_modules_are_accounted_for_too(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", config=tiny_config())
    kinds = account(open_source(str(folder)), "fp16", Engine.TRANSFORMERS)
    assert {kind.module: kind.matrices for kind in kinds}["down"] == 1
    assert {kind.kernel for kind in kinds if kind.module == "down"} == {"torch's Linear"}


def kind(module: str, form: str, nbytes: int) -> HeldKind:
    return HeldKind(
        module=module, format=form, matrices=2, parameters=100, nbytes=nbytes, kernel="a", prompt_kernel="b"
    )


def test_kinds_that_are_held_alike_share_a_row() -> None:
    held = [("m", (kind("q", "W4", 50), kind("k", "W4", 50), kind("down", "W8", 100)))]
    assert storage_table(held).rows == (
        ("m", "q (2), k (2)", "W4", "—", "200", "4.00", "100"),
        ("m", "down (2)", "W8", "—", "100", "8.00", "100"),
    )
    assert kernel_table(held).rows == (("m", "q (2), k (2), down (2)", "a", "b"),)
