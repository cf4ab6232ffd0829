"""Products of packed matrices with few tokens, in CUDA C++."""
