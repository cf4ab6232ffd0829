"""What runs on which device, with capabilities faked: each fall-back is taken and named."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.engine import load
from quantbench.engine.cuda import decoder as cuda_decoder
from quantbench.engine.cuda import nvrtc, support
from quantbench.engine.cuda.decoder import CudaDecoder
from quantbench.engine.cuda.operations import PLAIN
from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.persistent import launch as persistent
from quantbench.engine.cuda.support import unsupported_reason
from quantbench.engine.cuda.triton import launch
from quantbench.engine.decoder import NativeDecoder
from tests.engine.models import keep_float, native, prompts, ran, read, reference_model, source_of

CUDA = torch.device("cuda", 0)
REQUESTS = [Request(prompt_ids=prompt, max_new_tokens=7) for prompt in prompts((5, 9))]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the capability that every CUDA device is said to have; Triton is there and complete."""
    monkeypatch.setattr(support, "MISSING", None)
    monkeypatch.setattr(support, "launcher_unsupported_reason", lambda: None)

    def set_capability(major: int, minor: int) -> None:
        properties = SimpleNamespace(major=major, minor=minor, multi_processor_count=108)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)

    return set_capability


def plain() -> NativeDecoder:
    found = native(reference_model("qwen2-tied"))
    assert isinstance(found, NativeDecoder)
    return found


@pytest.mark.parametrize("capability", [(8, 0), (8, 9), (9, 0), (12, 0)])
def test_the_fast_engine_runs_from_capability_8_on(gpu: Any, capability: tuple[int, int]) -> None:
    gpu(*capability)
    assert unsupported_reason(plain().config, CUDA, torch.float16) is None


def test_older_devices_are_named_with_their_capability(gpu: Any) -> None:
    gpu(7, 5)
    assert (
        unsupported_reason(plain().config, CUDA, torch.float16)
        == "the GPU's compute capability 7.5 is below 8.0"
    )


def test_a_missing_triton_is_named(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu(9, 0)
    monkeypatch.setattr(support, "MISSING", "Triton is not installed")
    assert unsupported_reason(plain().config, CUDA, torch.float16) == "Triton is not installed"


def test_a_missing_c_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert support.launcher_unsupported_reason() == "Triton needs a C compiler: install gcc"


def test_missing_headers_of_python_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr("sysconfig.get_path", lambda name, scheme: str(tmp_path))
    assert "python3-dev" in str(support.launcher_unsupported_reason())
    (tmp_path / "Python.h").write_text("")
    assert support.launcher_unsupported_reason() is None


def test_what_the_fast_engine_cannot_run_is_left_to_plain_torch_with_the_reason(
    gpu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu(7, 0)
    told: dict[str, Any] = {}

    def stand_in(parameters: Any, **options: Any) -> str:
        told.update(options)
        return "plain torch"

    monkeypatch.setattr("quantbench.engine.decoder.NativeDecoder", stand_in)
    monkeypatch.setattr(load.ParameterLoader, "load", lambda self: None)
    source = source_of(reference_model("qwen2-tied"))
    found: Any = load.load_decoder(*read(source, keep_float), device="cuda:0", dtype="float16")
    assert found == "plain torch"
    assert "capability 7.0" in told["fallback"]


def test_the_reason_stands_in_the_kernels() -> None:
    parameters = plain()._parameters
    fallen = NativeDecoder(parameters, device="cpu", dtype=torch.float32, fallback="Triton is not installed")
    assert ran(fallen, "linear").reason == "Triton is not installed"


def with_persistent_step() -> CudaDecoder:
    ours = plain()
    model = packed_parameters(ours._parameters)
    return CudaDecoder(model, operations=PLAIN, persistent_step=cuda_decoder.persistent_step())


@pytest.mark.parametrize("capability", [(8, 0), (10, 0)])
def test_without_the_persistent_kernels_device_the_step_for_more_rows_runs(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]
) -> None:
    gpu(*capability)
    monkeypatch.setattr(persistent, "missing", lambda: None)
    monkeypatch.setattr(persistent, "unsupported_reason", lambda model: None)
    ours = with_persistent_step()
    assert ours.generate(REQUESTS, batch_size=2) == plain().generate(REQUESTS, batch_size=2)
    told = ran(ours, "decode step")
    assert told.max_batch == 4
    assert told.reason == f"compute capability {capability[0]}.{capability[1]} is not 9.0"


def test_a_persistent_kernel_that_does_not_compile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(model: Any, state: Any) -> Any:
        raise nvrtc.CompileError("\nkernel.cu(3): error: no such thing\nkernel.cu(4): error: another\n")

    monkeypatch.setattr(persistent, "build_persistent_step", build)
    ours = with_persistent_step()
    assert ours.generate(REQUESTS, batch_size=2) == plain().generate(REQUESTS, batch_size=2)
    assert ran(ours, "decode step").reason == "kernel.cu(3): error: no such thing"


@pytest.mark.parametrize(("capability", "has"), [((8, 9), False), ((9, 0), True), ((12, 0), True)])
def test_dependent_launch_is_used_from_capability_9_on(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    gpu(*capability)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    launch.dependent_launch.cache_clear()
    assert launch.dependent_launch(CUDA) is has
    launch.dependent_launch.cache_clear()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was really compiled; the cache is an empty folder."""
    done: list[str] = []

    def compile_it(source: str, options: list[str]) -> bytes:
        done.append(source)
        return b"machine code of " + source.encode()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(nvrtc, "_compile", compile_it)
    monkeypatch.setattr(nvrtc, "compiler_version", lambda: "13.0")
    return done


def cached_file(folder: Path) -> Path:
    (found,) = folder.rglob("*.cubin")
    return found


def test_machine_code_is_compiled_once(compilations: list[str]) -> None:
    first = nvrtc.compiled("source", {"ROWS": 1}, "sm_90a")
    assert nvrtc.compiled("source", {"ROWS": 1}, "sm_90a") == first == b"machine code of source"
    assert compilations == ["source"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100])
def test_a_damaged_cached_file_is_compiled_again(
    compilations: list[str], tmp_path: Path, content: bytes
) -> None:
    first = nvrtc.compiled("source", {}, "sm_90a")
    cached_file(tmp_path).write_bytes(content)
    assert nvrtc.compiled("source", {}, "sm_90a") == first
    assert nvrtc.kept(cached_file(tmp_path)) == first
    assert len(compilations) == 2


def test_another_device_shape_or_compiler_is_another_file(
    compilations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvrtc.compiled("source", {"BLOCKS": 132}, "sm_90a")
    nvrtc.compiled("source", {"BLOCKS": 108}, "sm_90a")
    nvrtc.compiled("source", {"BLOCKS": 132}, "sm_100a")
    monkeypatch.setattr(nvrtc, "compiler_version", lambda: "13.1")
    nvrtc.compiled("source", {"BLOCKS": 132}, "sm_90a")
    assert len(compilations) == 4
