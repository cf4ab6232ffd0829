"""Error feedback in one group by Triton is that of plain torch."""

import pytest
import torch

from quantbench.engine.cuda.triton.round_group import round_group_triton
from tests.methods.quantizers.test_feedback import check_against_plain


@pytest.mark.parametrize(("rows", "size"), [(5, 32), (37, 64)])
def test_a_group_is_rounded_as_in_plain_torch(device: torch.device, rows: int, size: int) -> None:
    check_against_plain(round_group_triton, rows, size, device)
