"""The engine's own CPU kernels: C++ compiled at first use, products of packed weights."""
