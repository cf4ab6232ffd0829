"""The CPU kernels as an Arm processor runs them: cross-compiled, emulated by QEMU, called like the library itself."""

from tests.arm.library import arm_library

__all__ = ["arm_library"]
