"""The engine on CUDA: Triton for many rows, one persistent kernel a step for few, captured in graphs."""
