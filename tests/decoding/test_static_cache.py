"""transformers with a static cache and a compiled step: the same answers, nothing compiled while timed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.decoding import Request, static_cache
from quantbench.decoding.static_cache import StaticCaches
from quantbench.decoding.transformers import TransformersDecoder
from quantbench.errors import ModelError, UsageError
from quantbench.kernels import find_kernel
from quantbench.measure.speed import warm
from quantbench.planning import build_plan
from quantbench.settings import RunSettings, read_settings
from tests.engine.models import prompts, reference_model
from tests.model_folders import write_folder


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Steps are traced and not made into machine code, which takes ten times as long."""
    settings = StaticCaches.settings

    def plain(self: StaticCaches) -> Any:
        found = settings(self)
        found.backend, found.mode = "eager", None
        return found

    monkeypatch.setattr(StaticCaches, "settings", plain)
    monkeypatch.setattr(static_cache, "STEP", 16)  # so that a shorter warm run would be another shape
    yield
    torch._dynamo.reset()


def decoder(model: Any) -> TransformersDecoder:
    made = TransformersDecoder(model, device="cpu")
    made.make_static()
    return made


def requests(lengths: tuple[int, ...], new: int) -> list[Request]:
    return [Request(prompt_ids=p, max_new_tokens=new) for p in prompts(lengths)]


@pytest.mark.usefixtures("traced")
def test_answers_are_those_of_the_growing_cache_and_a_warm_shape_is_not_compiled_again() -> None:
    model = reference_model("llama")
    asked = requests((3, 9), 10)
    made = decoder(model)
    warm(made, asked)
    before = made.compile_seconds()
    assert before is not None and before > 0
    found = made.generate(asked, batch_size=2)
    assert made.compile_seconds() == before
    assert found == TransformersDecoder(model, device="cpu").generate(asked, batch_size=2)


@pytest.mark.usefixtures("traced")
def test_the_record_says_that_the_step_was_compiled() -> None:
    kernel = find_kernel(decoder(reference_model("llama")).kernels(), "decode step")
    assert kernel is not None and "torch.compile" in kernel.name
    assert TransformersDecoder(reference_model("llama"), device="cpu").compile_seconds() is None


@pytest.mark.long
def test_machine_code_gives_the_same_answers() -> None:
    model = reference_model("qwen2-tied")
    asked = requests((3, 9), 12)
    eager = TransformersDecoder(model, device="cpu").generate(asked, batch_size=2)
    assert decoder(model).generate(asked, batch_size=2) == eager
    torch._dynamo.reset()


def test_a_model_that_cannot_be_compiled_is_refused() -> None:
    model = reference_model("llama")
    type(model)._can_compile_fullgraph, kept = False, type(model)._can_compile_fullgraph
    try:
        with pytest.raises(ModelError, match="cannot compile LlamaForCausalLM; use --engine transformers"):
            decoder(model)
    finally:
        type(model)._can_compile_fullgraph = kept


def test_without_a_compiler_it_is_refused_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder, exc

    def missing() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    with pytest.raises(ModelError, match=r"there is none \(install g\+\+, or set CXX\)"):
        decoder(reference_model("llama"))


def planned(model: Path, **options: Any) -> Any:
    short = {"tasks": "none", "prompt_tokens": "8", "new_tokens": 8, "device": "cpu"}
    return build_plan(read_settings(RunSettings, {"model": str(model), **short, **options}))[0]


def test_it_is_a_row_beside_the_growing_cache(tmp_path: Path) -> None:
    plan = planned(
        write_folder(tmp_path / "m"), engine="transformers,transformers-static", methods="fp16,int4"
    )
    rows = [trial.name for trial in plan.trials if trial.role == "method"]
    assert rows == ["fp16 @ transformers", "fp16 @ transformers-static", "int4 @ transformers"]
    assert any("does not compile the kernels of int4" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"methods": "int4"}, "does not compile the kernels of int4; use --engine transformers"),
        ({"methods": "fp16", "exact_prompts": True}, "--exact-prompts has no effect here"),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(
    options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=sentence):
        planned(write_folder(tmp_path / "m"), engine="transformers-static", **options)


def test_a_family_that_cannot_be_compiled_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "config.json").write_text('{"model_type": "mamba", "vocab_size": 64, "hidden_size": 32}')
    with pytest.raises(ModelError, match="cannot compile MambaForCausalLM; use --engine transformers"):
        planned(folder, engine="transformers-static")
