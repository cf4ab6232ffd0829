"""CUDA C++ compiled at run time and launched through the driver: what torch does not offer, through ctypes.

Machine code is cached on disk under a hash of everything that goes into it. Knows nothing of models. The
libraries are those that torch's CUDA build brings along (NVRTC) and the driver's own.
"""

import ctypes
import hashlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import torch

from quantbench.engine.cuda.triton.launch import on_device
from quantbench.user_cache import keep, user_cache

MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
SHARED_LIMIT = 97  # CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
DIGEST = hashlib.sha256().digest_size  # bytes before the code in a cached file
COOPERATIVE = 2  # CU_LAUNCH_ATTRIBUTE_COOPERATIVE: all blocks at once or none
DEPENDENT = (
    6  # CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION: may start before the kernel before ends
)


class CompileError(RuntimeError):
    """The run-time compiler refused a kernel; the message is its log."""


class _Attribute(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_int),
        ("pad", ctypes.c_int),
        ("value", ctypes.c_int),
        ("rest", ctypes.c_byte * 60),
    )


class _LaunchConfig(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


def missing() -> str | None:
    """Why kernels cannot be compiled here, as a phrase; None when they can."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    try:
        _compiler()
        _driver()
    except OSError as error:
        return f"a CUDA library cannot be loaded ({error})"
    return None


@cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


@cache
def _compiler() -> ctypes.CDLL:
    """NVRTC of torch's own CUDA version, wherever the wheels have put it."""
    major = str(torch.version.cuda).split(".")[0]
    name = f"libnvrtc.so.{major}"
    for folder in map(Path, sys.path):
        for found in sorted(folder.glob(f"nvidia/*/lib/{name}")):
            for part in found.parent.glob("libnvrtc-builtins.so.*"):  # which NVRTC looks for by name alone
                ctypes.CDLL(str(part))
            return ctypes.CDLL(str(found))
    return ctypes.CDLL(name)


def shared_limit(device: int) -> int:
    """Bytes of shared memory that one block may have."""
    value = ctypes.c_int()
    _check(_driver().cuDeviceGetAttribute(ctypes.byref(value), SHARED_LIMIT, device), "asking the device")
    return value.value


def _check(status: int, what: str) -> None:
    if status != 0:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(status, ctypes.byref(text))
        raise RuntimeError(f"{what} failed: {(text.value or b'?').decode()} ({status})")


def compiled(source: str, defines: Mapping[str, object], arch: str) -> bytes:
    """Machine code of `source` with macros `defines` for `arch` (sm_90a), from the cache if possible."""
    options = [f"--gpu-architecture={arch}", "--std=c++17", *(f"-D{k}={v}" for k, v in defines.items())]
    key = "\n".join([compiler_version(), *options, source])
    path = user_cache("kernels") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.cubin"
    code = kept(path)
    if code is None:
        code = _compile(source, options)
        keep(path, hashlib.sha256(code).digest() + code)
    return code


def kept(path: Path) -> bytes | None:
    """The code that was kept there behind its digest; None where there is nothing, or not all of it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:DIGEST], content[DIGEST:]
    return code if hashlib.sha256(code).digest() == digest else None


def compiler_version() -> str:
    """Of NVRTC itself, which may be newer than the CUDA that torch was built for."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _expect(_compiler().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}, torch for {torch.version.cuda}"


def _compile(source: str, options: list[str]) -> bytes:
    nvrtc, program = _compiler(), ctypes.c_void_p()
    _expect(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None))
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    if failed:
        raise CompileError(_text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode())
    code = _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code


def _expect(status: int) -> None:
    if status:
        raise CompileError(f"the run-time compiler failed with status {status}")


def _text(size_of: Callable[..., int], read: Callable[..., int], program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _expect(size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _expect(read(program, buffer))
    return buffer.raw


class CompiledKernel:
    """One function of compiled code on one device; `attribute` says how it is launched."""

    def __init__(
        self,
        code: bytes,
        name: str,
        *,
        shared_bytes: int,
        device: torch.device,
        attribute: int = COOPERATIVE,
    ) -> None:
        self._shared_bytes, self._device, self._attribute = shared_bytes, device, attribute
        with on_device(device):  # modules belong to the current context
            self._load(code, name)

    def _load(self, code: bytes, name: str) -> None:
        torch.cuda.current_stream()  # the context is there
        module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        driver = _driver()
        _check(driver.cuModuleLoadData(ctypes.byref(module), code), "loading a kernel")
        _check(
            driver.cuModuleGetFunction(ctypes.byref(self._function), module, name.encode()),
            "finding a kernel",
        )
        _check(
            driver.cuFuncSetAttribute(self._function, MAX_DYNAMIC_SHARED, self._shared_bytes),
            f"asking for {self._shared_bytes} bytes of shared memory",
        )

    def launch(self, parameter: ctypes.Structure, *, blocks: int, threads: int) -> None:
        """Enqueue on the device's current stream; also while it is being captured."""
        attribute = _Attribute(id=self._attribute, value=1)
        config = _LaunchConfig(
            grid=(blocks, 1, 1),
            block=(threads, 1, 1),
            shared_bytes=self._shared_bytes,
            stream=torch.cuda.current_stream(self._device).cuda_stream,
            attributes=ctypes.pointer(attribute),
            attribute_count=1,
        )
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(parameter))
        with on_device(self._device):
            status = _driver().cuLaunchKernelEx(ctypes.byref(config), self._function, arguments, None)
        _check(status, "launching a kernel")
