"""Tasks of lm-eval (EleutherAI's harness) on our decoders.

lm-eval owns prompts, answers and metrics; `model` answers its three kinds of request by lm-eval's own
conventions, so that scores are those of its `hf` model on the same weights. Needs `quantbench[lm-eval]`;
importing this package loads neither lm-eval nor torch.
"""
