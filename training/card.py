"""Writes the built-in model's card from its training log.

python -m training.card TRAINING_JSON > src/quantbench/assets/quickcoder/README.md
"""

# Rows of the card's tables are lines.
# ruff: noqa: E501

import json
import sys
from pathlib import Path
from typing import Any

TEMPLATE = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
tags: [code, qwen2, quantbench]
---

# quickcoder

A tiny model ({parameters:,} parameters, Qwen2 architecture, {layers} layers, hidden size {hidden}) that writes
the bodies of small generated Python functions. It was trained from scratch for quantbench's built-in task
`quickeval`, so that a benchmark of quantization has something real to measure offline, in a minute. It is
of no other use, and its scores are not comparable with those of any other model or benchmark.

## Training

| | |
|---|---|
| command | `python -m training.train FOLDER --workers {workers}` (everything else by default) |
| seed | {seed} |
| data | {examples:,} generated problems, {solution_tokens:,} tokens of solutions |
| sha256 of the token stream | `{data_sha256}` |
| steps | {steps} of {rows} rows of 512 tokens; AdamW, learning rate {learning_rate}, no weight decay |
| loss | cross entropy; a token of a prompt counts a tenth of a token of a solution |
| hardware | one {hardware}, torch {torch}, {train_s:.0f} s for the steps, data made meanwhile by {workers} processes |
| finished | {finished} |

The same command gives the same data and the same start; the order of additions on the device is not fixed.
The tokenizer (byte-level BPE, {vocab_size} entries, digits apart) comes from `python -m training.tokenizer`.

Loss (step: value): {losses}

## Scores at the end of training

Greedy pass@1, weights rounded in float32 by the training script's own plain rounding (`training/score.py`);
the reports of quantbench measure its real methods.

| weights | quickeval (164) | validation (128) |
|---|---|---|
{scores}

No solution of either set was in training: the generator keeps the parts apart by a hash of the solution.
"""


def card(log: dict[str, Any]) -> str:
    """The model card as Markdown."""
    final = log["looks"][-1]
    scores = "\n".join(
        f"| {name} | {rates['quickeval']:.3f} | {rates['validation']:.3f} |"
        for name, rates in final.items()
        if name != "at"
    )
    arguments, shape = log["arguments"], log["shape"]
    return TEMPLATE.format(
        **{key: log[key] for key in ("parameters", "examples", "solution_tokens", "data_sha256", "steps")},
        **{key: log[key] for key in ("hardware", "torch", "train_s", "finished")},
        **{key: arguments[key] for key in ("seed", "rows", "learning_rate", "workers")},
        layers=shape["num_hidden_layers"],
        hidden=shape["hidden_size"],
        vocab_size=shape["vocab_size"],
        losses=", ".join(f"{step}: {loss:.3f}" for step, loss in log["losses"]),
        scores=scores,
    )


if __name__ == "__main__":
    print(card(json.loads(Path(sys.argv[1]).read_text())), end="")
