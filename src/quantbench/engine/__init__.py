"""quantbench's own decoder: plain torch everywhere, Triton kernels where there is a GPU."""
