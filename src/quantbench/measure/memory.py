"""Peak memory of a trial, apart for loading and for running.

CUDA: the allocator's peaks, and the process as the driver sees it. CPU: the resident set of the process,
which includes the interpreter and the libraries: `baseline_process_bytes` is what they took before the
model. On Linux its peak begins anew when the meter is made and when the model is loaded, so that what came
before, a calibration for one, does not count; elsewhere it is the peak of all.
"""

from collections.abc import Callable

from quantbench.decoding import Decoder, HoldsCache
from quantbench.measure.nvml import DriverView
from quantbench.measure.resident import peak_resident_bytes, reset_peak, resident_bytes
from quantbench.records import Memory, MemoryKind


class MemoryMeter:
    """Made before a model is loaded; `loaded()` after that, `finish()` after it has run.

    Of several GPUs that hold a model together figures are sums, each GPU at its own peak.
    """

    def __init__(self, device: str, *more: str) -> None:
        self._devices = (device, *more)
        self._cuda = device.startswith("cuda")
        self._load_peak: int | None = None
        self._drivers = [DriverView(name) for name in self._devices]
        if self._cuda:
            self._reset()
            self._before = self._driver_bytes()
        else:
            reset_peak()
            self._before = resident_bytes()

    def _reset(self) -> None:
        """Wait for the GPUs; their allocators' peaks begin anew."""
        import torch

        for device in self._devices:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)

    def _driver_bytes(self) -> int | None:
        """The process as the driver sees it; None where it does not say of a GPU."""
        found = [driver.process_bytes() for driver in self._drivers]
        return None if None in found else sum(filter(None, found))

    def _summed(self, peak: Callable[[str], int]) -> int:
        return sum(peak(device) for device in self._devices)

    def loaded(self) -> None:
        """Note the peak of loading, and `begin`."""
        if not self._cuda:
            self._load_peak = peak_resident_bytes()
        else:
            import torch

            self._load_peak = self._summed(torch.cuda.max_memory_allocated)
        self.begin()

    def begin(self) -> None:
        """The peak of running begins here: what compiling kernels took is no part of it."""
        if not self._cuda:
            reset_peak()
            return
        self._reset()

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

        for device in self._devices:
            torch.cuda.synchronize(device)
        return Memory(
            kind=MemoryKind.CUDA,
            load_peak_bytes=self._load_peak,
            peak_allocated_bytes=self._summed(torch.cuda.max_memory_allocated),
            peak_reserved_bytes=self._summed(torch.cuda.max_memory_reserved),
            process_bytes=self._driver_bytes(),
            baseline_process_bytes=self._before,
        )
