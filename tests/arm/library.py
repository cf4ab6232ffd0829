"""A stand-in for the loaded kernels: each call goes to an emulated process, with the memory it points to."""

import ctypes
import gc
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch

from quantbench.engine.cpu import build
from quantbench.user_cache import user_cache

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
NATIVE = ("-fPIC", *build.TARGETS.values())  # flags that a static program for another machine does not take
CODES = {ctypes.c_int: "<i", ctypes.c_int64: "<q", ctypes.c_float: "<f"}


@cache
def arm_library(features: str) -> "ArmLibrary":
    """The kernels for an Arm processor with features such as 'armv8.2-a+dotprod', compiled where need be.

    FileNotFoundError names the program that is not installed.
    """
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            raise FileNotFoundError(f"{program} is not installed")
    source = Path(__file__).with_name("calls.cpp")
    flags = [flag for flag in build.FLAGS if flag not in NATIVE]
    flags += [f"-march={features}", "-static", "-fopenmp", f"-I{build.SOURCE.parent}"]
    files = (source, *build.kernels().sources)
    path = user_cache() / f"arm-calls-{build.digest(str(shutil.which(COMPILER)), tuple(flags), files)}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{id(flags)}")
        subprocess.run([COMPILER, *flags, str(source), "-o", str(beside)], check=True)
        beside.replace(path)
    return ArmLibrary([EMULATOR, "-cpu", "max", str(path)])


class ArmLibrary:
    """What `ctypes.CDLL` is to the kernels: functions whose argument types are declared from outside."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __getattr__(self, name: str) -> "ArmFunction":
        if not name.startswith("quantbench_"):
            raise AttributeError(name)
        function = ArmFunction(self, name)
        setattr(self, name, function)
        return function

    def send(self, data: bytes) -> None:
        """Bytes to the emulated process; what it says meanwhile is nothing."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def receive(self, layout: str) -> Any:
        """One number of the answer."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def take(self, count: int) -> bytes:
        """So many bytes of the answer."""
        assert self._process.stdout is not None
        data = self._process.stdout.read(count)
        if len(data) < count:
            raise RuntimeError(f"the emulated kernels ended with {self._process.wait()}")
        return data


class ArmFunction:
    """One kernel."""

    def __init__(self, library: ArmLibrary, name: str) -> None:
        self._library, self._name = library, name
        self.argtypes: Sequence[Any] = ()
        self.restype: Any = None

    def __call__(self, *arguments: Any) -> Any:
        pairs = zip(self.argtypes, arguments, strict=True)
        given = [each for kind, value in pairs for each in flattened(kind, value)]
        arrays = [value for kind, value in given if kind is ctypes.c_void_p]
        memory = memory_at([0, *arrays])
        sent = [memory[v] if kind is ctypes.c_void_p else struct.pack(CODES[kind], v) for kind, v in given]
        self._library.send(bytes([len(self._name)]) + self._name.encode() + b"".join(sent))
        result = self._library.receive(CODES[self.restype]) if self.restype else None
        for address in arrays:
            length = self._library.receive("<q")
            if length > 0:
                ctypes.memmove(address, self._library.take(length), length)
        return result


def flattened(kind: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """An argument with its type; of a structure that is passed by its address, the fields."""
    structure = getattr(value, "_obj", None)
    if structure is None:
        yield kind, value
        return
    for name, field in structure._fields_:
        yield field, getattr(structure, name) or 0


KNOWN: WeakValueDictionary[int, torch.Tensor] = WeakValueDictionary()  # tensors by where their storage begins


def memory_at(addresses: Sequence[int]) -> dict[int, bytes]:
    """Arrays as the process wants them: from each address to the end of the storage that it lies in."""
    found = {0: struct.pack("<q", -1)}
    for generation in (0, None, 1, 2):  # new objects, tensors that were met before, old objects
        if wanted := [address for address in addresses if address not in found]:
            objects = list(KNOWN.values()) if generation is None else gc.get_objects(generation)
            tensors = [each for each in objects if type(each) in (torch.Tensor, torch.nn.Parameter)]
            del objects  # it refers to tuples that are being made
            for tensor in tensors:
                begin, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
                for address in wanted:
                    if begin <= address < begin + size:
                        left = begin + size - address
                        found[address] = struct.pack("<q", left) + ctypes.string_at(address, left)
                        KNOWN[begin] = tensor
    return found
