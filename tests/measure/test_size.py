import pytest
import torch

from quantbench.measure.size import count_parameters, measure_size, storage_bytes
from tests.measure.fakes import FakeClock, FakeDecoder
from tests.model_folders import tiny_source


def decoder(tensors: dict[str, torch.Tensor], schemes: dict[str, tuple[str, int]]) -> FakeDecoder:
    return FakeDecoder(FakeClock(), tensors=tensors, schemes=schemes)


def test_packed_tensors_count_their_own_bytes() -> None:
    tensors = {"q": torch.zeros(10, 4, dtype=torch.uint8), "scale": torch.zeros(10, dtype=torch.float16)}
    assert storage_bytes(tensors.values()) == 40 + 20


def test_a_tied_tensor_counts_once() -> None:
    table = torch.zeros(10, 4)
    assert storage_bytes([table, table.view(4, 10), table[2:]]) == 160


def test_a_slice_counts_the_storage_that_it_keeps_alive() -> None:
    assert storage_bytes([torch.zeros(100, 4)[:1]]) == 1600


def test_schemes_and_effective_bits_come_from_what_is_held() -> None:
    source = tiny_source()
    parameters = count_parameters(decoder({}, {}), source)
    tensors = {"packed": torch.zeros(parameters, dtype=torch.uint8)}
    held = {"a": ("W8A16", parameters - 100), "b": ("W8A16", 60)}
    size = measure_size(decoder(tensors, held), source)
    assert size.effective_bits == 8
    assert size.schemes == {"W8A16": parameters - 40}
    assert size.quantized_parameters == parameters - 40
    assert size.kept_layers == ()


def test_a_float_matrix_beside_packed_ones_was_kept() -> None:
    size = measure_size(decoder({}, {"a": ("W4A16", 70), "b": ("W16", 30)}), tiny_source())
    assert (size.quantized_parameters, size.kept_parameters, size.kept_layers) == (70, 30, ("b",))


@pytest.mark.parametrize("scheme", ["W32", "W16", "WBF16"])
def test_a_float_model_keeps_nothing_back(scheme: str) -> None:
    size = measure_size(decoder({}, {"a": (scheme, 70)}), tiny_source())
    assert (size.quantized_parameters, size.kept_parameters, size.kept_layers) == (0, 0, ())


def test_checkpoint_bytes_are_the_sources() -> None:
    source = tiny_source()
    source.checkpoint_bytes = 123
    assert measure_size(decoder({}, {}), source).checkpoint_bytes == 123


def test_parameters_of_an_unknown_family_are_counted_from_the_decoder() -> None:
    source = tiny_source()
    source.config = {"model_type": "mamba"}
    tensors = {"a.weight.packed": torch.zeros(5), "a.weight.scale": torch.zeros(2), "norm": torch.zeros(7)}
    assert count_parameters(decoder(tensors, {"a.weight": ("W4A16", 10)}), source) == 17
