"""Products of 4-bit matrices with few tokens, in CUDA C++."""
