"""Peak memory of a trial, apart for loading and for running.

CUDA: the allocator's peaks, and the process as the driver sees it. CPU: the resident set of the process,
which includes the interpreter and the libraries: `baseline_process_bytes` is what they took before the
model. On Linux its peak begins anew when the meter is made and when the model is loaded, so that what came
before, a calibration for one, does not count; elsewhere it is the peak of all.
"""

from quantbench.decoding import Decoder, HoldsCache
from quantbench.measure.nvml import DriverView
from quantbench.measure.resident import peak_resident_bytes, reset_peak, resident_bytes
from quantbench.records import Memory, MemoryKind


class MemoryMeter:
    """Made before a model is loaded; `loaded()` after that, `finish()` after it has run."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._cuda = device.startswith("cuda")
        self._load_peak: int | None = None
        self._driver = DriverView(device)
        if self._cuda:
            import torch

            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._before = self._driver.process_bytes()
        else:
            reset_peak()
            self._before = resident_bytes()

    def loaded(self) -> None:
        """Note the peak of loading, and `begin`."""
        if not self._cuda:
            self._load_peak = peak_resident_bytes()
        else:
            import torch

            torch.cuda.synchronize(self._device)
            self._load_peak = torch.cuda.max_memory_allocated(self._device)
        self.begin()

    def begin(self) -> None:
        """The peak of running begins here: what compiling kernels took is no part of it."""
        if not self._cuda:
            reset_peak()
            return
        import torch

        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)

    def finish(self, decoder: Decoder | None = None) -> Memory:
        """All peaks up to now, and the cache of what the decoder has run."""
        cache = decoder.cache_bytes if isinstance(decoder, HoldsCache) else None
        return self._peaks().model_copy(update={"cache_bytes": cache})

    def _peaks(self) -> Memory:
        if not self._cuda:
            return Memory(
                kind=MemoryKind.CPU,
                load_peak_bytes=self._load_peak,
                process_bytes=peak_resident_bytes(),
                baseline_process_bytes=self._before,
            )
        import torch

        torch.cuda.synchronize(self._device)
        return Memory(
            kind=MemoryKind.CUDA,
            load_peak_bytes=self._load_peak,
            peak_allocated_bytes=torch.cuda.max_memory_allocated(self._device),
            peak_reserved_bytes=torch.cuda.max_memory_reserved(self._device),
            process_bytes=self._driver.process_bytes(),
            baseline_process_bytes=self._before,
        )
