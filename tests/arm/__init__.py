"""The CPU kernels as an Arm processor runs them: cross-compiled, emulated, called like the library."""

from tests.arm.library import arm_library

__all__ = ["arm_library"]
