"""A quick look at a network in training: greedy pass@1 by plain execution, and under simulated quantizing.

For our own generator's problems and our own model on a machine that may be thrown away: nothing here
isolates the programs. The figures that are reported come from the product's own pipeline.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.network import Network
from training.tokenizer import END

MAX_NEW_TOKENS = 128
SECONDS = 2.0
Row = dict[str, str]


@torch.inference_mode()
def complete(network: Network, tokenizer: Tokenizer, prompts: Sequence[str], rows: int = 256) -> list[str]:
    """Greedy completions; rows are padded on the right, which a causal model does not see."""
    texts: list[str] = []
    for start in range(0, len(prompts), rows):
        texts += _complete_batch(network, tokenizer, prompts[start : start + rows])
    return texts


def _complete_batch(network: Network, tokenizer: Tokenizer, prompts: Sequence[str]) -> list[str]:
    device = network.model.norm.weight.device
    end = tokenizer.token_to_id(END)
    encoded = [tokenizer.encode(prompt.strip() + "\n").ids for prompt in prompts]
    lengths = torch.tensor([len(one) for one in encoded], device=device)
    ids = torch.full((len(prompts), int(lengths.max()) + MAX_NEW_TOKENS), end, device=device)
    for row, one in enumerate(encoded):
        ids[row, : len(one)] = torch.tensor(one, device=device)
    active = torch.arange(len(prompts), device=device)  # rows that have not ended
    for _ in range(MAX_NEW_TOKENS):
        at = lengths[active]
        hidden = network.hidden(ids[active, : int(at.max())])
        new = network.head(hidden[torch.arange(len(active), device=device), at - 1]).argmax(-1)
        going = new != end
        active = active[going]
        if len(active) == 0:
            break
        ids[active, lengths[active]] = new[going]
        lengths[active] += 1
    starts = [len(one) for one in encoded]
    return [
        tokenizer.decode(ids[row, start : int(lengths[row])].tolist()) for row, start in enumerate(starts)
    ]


def passes(job: tuple[Row, str]) -> bool:
    """Whether the completion passes its problem's test within SECONDS."""
    row, completion = job
    source = f"{row['prompt']}{completion}\n{row['test']}\ncheck({row['entry_point']})\n"

    def stop(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        exec(source, {"__name__": "program"})
    except BaseException:  # whatever a wrong program raises
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


# ---- simulated quantizing: float weights rounded to what the bits can hold ---------------------------


def int8_per_channel(weight: Tensor) -> Tensor:
    scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
    return (weight / scale).round().clamp(-127, 127) * scale


def int4_per_group(weight: Tensor, group: int = 128) -> Tensor:
    groups = weight.reshape(weight.shape[0], -1, group)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = (high - low).clamp_min(1e-8) / 15
    return (((groups - low) / scale).round().clamp(0, 15) * scale + low).reshape(weight.shape)


def int4_per_channel(weight: Tensor) -> Tensor:
    scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-8) / 7
    return (weight / scale).round().clamp(-8, 7) * scale


QUANTIZERS = {"int8": int8_per_channel, "int4-g128": int4_per_group, "int4-per-channel": int4_per_channel}


@contextmanager
def quantized(network: Network, name: str) -> Iterator[None]:
    """All weight matrices, the embedding included, rounded for a while."""
    matrices = [parameter for parameter in network.parameters() if parameter.dim() == 2]
    kept = [matrix.detach().clone() for matrix in matrices]
    with torch.no_grad():
        for matrix in matrices:
            matrix.copy_(QUANTIZERS[name](matrix))
    try:
        yield
    finally:
        with torch.no_grad():
            for matrix, values in zip(matrices, kept, strict=True):
                matrix.copy_(values)
