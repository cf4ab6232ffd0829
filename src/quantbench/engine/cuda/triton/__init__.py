"""Triton's kernels, each beside its reference in plain torch.

A kernel is one function, six of them of 41 to 89 lines: cut up, it would hand on all its pointers.
"""
