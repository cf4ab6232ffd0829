"""What is not finite is found where it arises and said with the tensor, the count, the size and the fix."""

import pytest
import torch

from quantbench.errors import ModelError, NotFiniteError
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources.random_weights import RandomSource
from quantbench.weights.finite import cast_finite, check_logits, is_finite
from tests.model_folders import tiny_config

NAN, INF = float("nan"), float("inf")


class Poisoned(RandomSource):
    """The tiny random model with one value of one tensor replaced."""

    def __init__(self, name: str, value: float) -> None:
        super().__init__("tiny", tiny_config(), seed=0)
        self._name, self._value = name, value

    def tensor(self, name: str) -> torch.Tensor:
        tensor = super().tensor(name).float()
        if name == self._name:
            tensor.view(-1)[3] = self._value
        return tensor


NAMES = RandomSource("tiny", tiny_config(), seed=0).names()


def load(method: str, name: str, value: float, *, engine: str = "native", dtype: str = "float16") -> str:
    """The sentence that loading this model ends in; empty where it is loaded."""
    settings = LoadSettings(device="cpu", dtype=dtype, engine=engine)
    try:
        METHODS[method].load(Poisoned(name, value), settings)
    except ModelError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["fp16", "int8", "int4", "int4-rtn"])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_broken_value_in_any_tensor_is_named_by_every_method(name: str, method: str, value: float) -> None:
    said = load(method, name, value)
    assert f"'{name}' holds values that are not finite in the model's own files (1 of " in said
    assert "download" in said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ["native", "transformers"])
def test_a_weight_beyond_float16_is_named_with_count_size_and_fix(name: str, engine: str) -> None:
    said = load("fp16", name, -1e6, engine=engine)
    assert f"'{name}'" in said and "(1 of " in said and "up to 1e+06" in said
    assert "--methods bf16" in said


def test_what_overflows_decides_what_is_advised() -> None:
    norm, matrix = (next(name for name in NAMES if ("norm" in name) is wanted) for wanted in (True, False))
    assert "use --methods bf16,int8" in load("fp16", matrix, -1e6)
    assert "use --dtype bfloat16" in load("fp16", norm, -1e6)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_holds_what_float16_cannot(name: str) -> None:
    assert load("bf16", name, -1e6, dtype="float32") == ""


def test_the_largest_float16_is_no_overflow() -> None:
    weight = torch.tensor([65504.0, -65504.0])
    assert torch.equal(cast_finite("w", weight, dtype=torch.float16, device="cpu").float(), weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("place", [0, 1, 500, 1023])
def test_one_bad_value_anywhere_is_found(dtype: torch.dtype, bad: float, place: int) -> None:
    tensor = torch.ones(1024, dtype=dtype)
    assert is_finite(tensor)
    tensor[place] = bad
    assert not is_finite(tensor)


@pytest.mark.parametrize("bad", [NAN, INF])
def test_a_logit_that_is_not_finite_ends_the_run(bad: float) -> None:
    logits = torch.zeros(3, 7)
    logits[1, 2] = bad
    with pytest.raises(NotFiniteError, match=r"while testing are not finite: .*--dtype bf16"):
        check_logits(logits, "while testing")


def test_a_forbidden_token_is_no_error_and_a_row_of_them_is() -> None:
    logits = torch.zeros(2, 4)
    logits[:, 1] = -INF
    check_logits(logits, "here")
    logits[1] = -INF
    with pytest.raises(NotFiniteError):
        check_logits(logits, "here")
