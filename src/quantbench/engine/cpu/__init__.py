"""The engine's own CPU kernels: C++ compiled at first use, float32 arithmetic on packed weights."""
