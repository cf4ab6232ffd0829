"""What servers' logs say of kernels and of the cache that they set aside, in their own lines."""

import pytest

from quantbench.serving.engines import SERVED

VLLM_CPU = """\
(Worker pid=1) INFO 11-26 [cpu_worker.py:260] Explicitly set (1.0/23.21) GiB for KV cache on node 0.
(EngineCore pid=2) INFO 11-26 [kv_cache_utils.py:2327] CPU KV cache size: 87,296 tokens, Maximum 68.20x
(Worker pid=1) WARNING 11-26 [utils.py:597] Failed to create oneDNN linear, fallback to torch linear. Exc
(APIServer pid=3) WARNING 11-26 [vllm.py:1703] Enforce eager set, disabling torch.compile, CUDAGraphs, and JIT
"""
VLLM_GPU = """\
INFO 11-26 [cuda.py:300] Using FLASH_ATTN attention backend out of potential backends: ['FLASH_ATTN'].
INFO 11-26 [compressed_tensors_wNa16.py:138] Using MarlinLinearKernel for CompressedTensorsWNA16
INFO 11-26 [__init__.py:759] Selected CutlassInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8
INFO 11-26 [__init__.py:759] Selected CutlassInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8
INFO 11-26 [gpu_model_runner.py:5150] Model loading took 0.93 GiB memory and 1.2 seconds
INFO 11-26 [gpu_worker.py:760] Available KV cache memory: 55.25 GiB
"""
LLAMA = """\
llama_kv_cache:        CPU KV buffer size =    96.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =   288.00 MiB
"""


@pytest.mark.parametrize(
    ("engine", "log", "nbytes"),
    [
        ("vllm", VLLM_CPU, 1 << 30),
        ("vllm", VLLM_GPU, round(55.25 * (1 << 30))),
        ("llama.cpp", LLAMA, 384 << 20),
        ("llama.cpp", "nothing is said", None),
    ],
)
def test_the_cache_that_is_set_aside_is_what_the_log_says(engine: str, log: str, nbytes: int | None) -> None:
    assert SERVED[engine].pool(log) == nbytes


def test_kernels_are_named_as_vllm_logs_them() -> None:
    facts = SERVED["vllm"].facts(VLLM_GPU)
    assert facts["attention"] == "FLASH_ATTN"
    assert facts["linear"] == (
        "MarlinLinearKernel for CompressedTensorsWNA16, "
        "CutlassInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8"
    )
    assert facts["weights"] == "0.93 GiB memory"


def test_a_kernel_that_fell_back_is_told() -> None:
    facts = SERVED["vllm"].facts(VLLM_CPU)
    assert facts["linear instead"] == "oneDNN linear, fallback to torch linear"
    assert facts["compiled"] == "disabling torch.compile"
