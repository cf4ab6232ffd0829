"""What is compiled ahead is what a run then asks for: seen on the CPU, over recorded operations."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
from torch import Tensor

from quantbench.decoding import Point, Request
from quantbench.engine.cuda.ahead import WIDTHS, ask_for_kernels
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.cuda.few_rows.launch import FewRowProducts, noting
from quantbench.engine.cuda.few_rows.variant import Outcome, Variant, variant_for
from quantbench.engine.cuda.operations import PLAIN, StepOperations
from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.products import TiledProducts
from quantbench.engine.cuda.triton.launch import asked, over
from quantbench.engine.parameters import Matrix, Parameters
from quantbench.weights.quantizers.int4 import quantize_int4
from quantbench.weights.quantizers.int8 import quantize_int8
from tests.engine.cuda.step_models import random_model
from tests.engine.models import keep_float, native, prompts, reference_model

QUANTIZERS = {
    "fp16": keep_float,
    "int8": quantize_int8,
    "int4": partial(quantize_int4, group_size=16),
}
TEXTS = Point(rows=7, prompt_tokens=1, positions=64, text=True)


def model_of(quantizer: str, variant: str = "qwen2-tied") -> Parameters:
    return packed_parameters(native(reference_model(variant), QUANTIZERS[quantizer])._parameters)


def key(value: Any) -> Any:
    """What of an argument tells one compiled kernel from another: types, not sizes."""
    if isinstance(value, Tensor):
        return str(value.dtype), value.dim()
    if isinstance(value, Matrix):
        return value.weight.format, tuple(value.weight.shape), value.bias is None
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(key, value))
    return value if isinstance(value, int | str | None) else type(value).__name__


def recorded(found: set[Any], compute: bool) -> StepOperations:
    """PLAIN, or operations that do nothing, which note each call's kernel."""

    def noting(name: str) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            tiles = tuple(
                sorted((option, repr(value)) for option, value in options.items() if option != "ids")
            )
            found.add((name, *map(key, arguments), tiles))
            if compute:
                getattr(PLAIN, name)(*arguments, **options)

        return call

    return replace(PLAIN, **{f.name: noting(f.name) for f in fields(PLAIN) if f.name != "name"})


def asked_ahead(model: Parameters, *points: Point, own_rows: int = 0) -> set[Any]:
    found: set[Any] = set()
    ask_for_kernels(model, recorded(found, False), points, batch_invariant=False, own_rows=own_rows)
    return found


@pytest.mark.parametrize("variant", ["qwen2-tied", "qwen2-window", "qwen3"])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_texts_meet_no_kernel_that_was_not_asked_for(quantizer: str, variant: str) -> None:
    model, met = model_of(quantizer, variant), set[Any]()
    decoder = CudaDecoder(model, operations=recorded(met, True))
    texts = prompts((3, 11, 1, 7, 20, 5, 40, 64, 2))
    requests = [Request(prompt_ids=text, max_new_tokens=2 + number) for number, text in enumerate(texts)]
    decoder.generate(requests, batch_size=7)
    list(decoder.score(texts))
    assert not met - asked_ahead(model, TEXTS)


def test_a_point_of_few_rows_asks_for_its_prompt_alone_where_these_have_a_step_of_their_own() -> None:
    model = model_of("fp16")
    point = Point(rows=1, prompt_tokens=32, positions=40)
    own, all_of_it = (asked_ahead(model, point, own_rows=rows) for rows in (4, 0))
    assert own < all_of_it
    assert {name for name, *_ in all_of_it - own} >= {"decode_attention", "argmax"}


def test_few_rows_note_every_form_that_they_would_launch() -> None:
    model = random_model("qwen2", "double", group=32)
    forms: set[Variant] = set()

    def products_of(rows: int) -> FewRowProducts:
        tiled = TiledProducts(PLAIN, rows, model.config.activation)
        return FewRowProducts(tiled, rows, noting(forms))

    nothing = recorded(set(), False)
    ask_for_kernels(model, nothing, [TEXTS], batch_invariant=False, own_rows=0, products_of=products_of)
    matrices = {
        Outcome.STORE: model.layers[0].qkv,
        Outcome.SUMS: model.layers[0].output,
        Outcome.GATE: model.layers[0].gate_up,
        Outcome.BEST: model.head,
    }
    asked = {variant_for(matrix.weight, TEXTS.rows, outcome) for outcome, matrix in matrices.items()}
    assert asked <= forms and {form.outcome for form in forms} == set(Outcome)


def test_layers_of_a_kind_are_asked_for_once() -> None:
    calls: list[str] = []
    model = model_of("fp16")
    counting = replace(recorded(set(), False), rotate_prompts=lambda *unused: calls.append("layer"))
    point = Point(rows=1, prompt_tokens=max(WIDTHS), positions=300)
    ask_for_kernels(model, counting, [point], batch_invariant=False, own_rows=4)
    assert len(model.layers) == 2 and calls == ["layer"]


def test_a_launch_runs_unless_kernels_are_only_asked_for() -> None:
    runs: list[tuple[Any, ...]] = []

    class Kernel:
        def run(self, *arguments: int, grid: tuple[int, ...], warmup: bool) -> str:
            runs.append((*arguments, grid, warmup))
            return "compiled"

    over(Kernel(), (1, 2))(7)
    kernels: list[Any] = []
    token = asked.set(kernels)
    over(Kernel(), (1, 2))(8)
    asked.reset(token)
    over(Kernel(), (1, 2))(9)
    assert runs == [(7, (1, 2), False), (8, (1, 2), True), (9, (1, 2), False)]
    assert kernels == ["compiled"]
