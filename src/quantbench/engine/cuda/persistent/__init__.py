"""A decode step of few rows as one persistent CUDA kernel."""
