"""Models whose matrices have several formats, on a GPU: int4 with ends of 8 bits, and mixed."""

import pytest
import torch

from quantbench.decoding import Request
from quantbench.methods import METHODS, LoadSettings
from tests.model_folders import tiny_source

pytestmark = pytest.mark.gpu
SHAPE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4}
PROMPT = tuple(range(3, 40))


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("method", ["int4-head8", "int4-hq-head8", "mixed-5", "mixed-6-head16"])
def test_scores_are_those_on_a_cpu_and_steps_choose_their_best(
    cuda: torch.device, method: str, rows: int
) -> None:
    source = tiny_source(**SHAPE)
    gpu, cpu = (
        METHODS[method].load(source, LoadSettings(device=device, dtype=dtype)).decoder
        for device, dtype in ((str(cuda), "float16"), ("cpu", "float32"))
    )
    found = gpu.generate([Request(prompt_ids=PROMPT, max_new_tokens=16)] * rows, batch_size=rows)
    text = (*PROMPT, *found[0].token_ids)
    ((scores,), (exact,)) = (list(decoder.score([text])) for decoder in (gpu, cpu))
    assert (scores.cpu() - exact).norm() < 0.03 * exact.norm()
    told = exact[len(PROMPT) - 1 : -1].gather(1, torch.tensor(found[0].token_ids)[:, None])[:, 0]
    best = exact[len(PROMPT) - 1 : -1].amax(1)
    assert (best - told).max() <= 0.03 * exact.abs().max()
    assert {row.token_ids for row in found} == {found[0].token_ids}
