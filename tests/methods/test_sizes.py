from quantbench.methods.sizes import largest_matrix, total_bytes
from tests.model_folders import tiny_config


def test_vectors_count_two_bytes_an_element() -> None:
    # two layer norms, the last norm, and the biases of q (64) and k, v (32 each)
    assert total_bytes(tiny_config(), lambda rows, columns: 0) == 2 * (3 * 64 + 64 + 32 + 32)


def test_every_matrix_is_counted_once() -> None:
    counted: list[tuple[int, int]] = []
    total_bytes(tiny_config(), lambda rows, columns: counted.append((rows, columns)) or 0)
    assert sorted(counted) == sorted(
        [(64, 64), (64, 64), (32, 64), (32, 64), (64, 64), (128, 64), (128, 64), (64, 128)]
    )


def test_the_largest_matrix_is_found() -> None:
    assert largest_matrix(tiny_config(vocab_size=1000)) == 1000 * 64
