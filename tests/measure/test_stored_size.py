"""A GGUF file's account, tensor by tensor, is that of the engine which reads the same file."""

from pathlib import Path

from quantbench.measure import audit, measure_size
from quantbench.measure.stored_size import scheme_of_gguf, size_of_gguf, storage_of_gguf
from quantbench.methods import METHODS
from quantbench.settings import Engine, LoadSettings
from quantbench.sources import open_source
from quantbench.sources.gguf_source import GgufSource
from tests.gguf_files import write_tiny


def test_a_file_is_accounted_for_alike_in_both_engines(tmp_path: Path) -> None:
    source = open_source(str(write_tiny(tmp_path / "tiny.gguf")))
    assert isinstance(source, GgufSource)
    load = LoadSettings(device="cpu", dtype="float32", engine=Engine.NATIVE)
    decoder = METHODS["stored"].load(source, load).decoder
    list(decoder.score([(1, 2, 3)]))
    ours, theirs = audit(decoder, source), storage_of_gguf(source, "llama.cpp")
    assert {(k.module, k.format, k.group_size, k.parameters) for k in ours if k.matrices} == {
        (k.module, k.format, k.group_size, k.parameters) for k in theirs if k.matrices
    }
    size = size_of_gguf(source, 1)
    assert size.schemes == measure_size(decoder, source).schemes
    assert scheme_of_gguf(source) == "W8"
