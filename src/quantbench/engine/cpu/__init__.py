"""The engine's own CPU kernels: C++ compiled at first use, float32 or integer arithmetic on packed weights."""
