"""Attention of decode steps, in CUDA C++."""
