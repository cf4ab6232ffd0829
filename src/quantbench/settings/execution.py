"""Where trials run: options that can change no number, and are no part of a Trial."""

from enum import StrEnum

from quantbench.settings.base import Settings
from quantbench.settings.option import Facts, option

RAY = "ray"  # what an option needs, see planning.unused


class Executor(StrEnum):
    """What starts trials."""

    LOCAL = "local"
    RAY = "ray"


class ExecutionSettings(Settings):
    """Where trials run; nothing of it can change a number, so no trial's id has it."""

    devices: tuple[str, ...] = option(
        (),
        "Devices to run trials on side by side, as cuda:0,cuda:1 or auto.",
        facts=Facts(shown="one trial after another on --device"),
    )
    allow_shared: bool = option(False, "Measure speed where trials share cores or memory.")
    executor: Executor = option(Executor.LOCAL, "What starts trials: local or ray.")
    ray_address: str = option("auto", "Ray: auto on a node, else ray://HOST:PORT.", facts=Facts(needs=(RAY,)))
    gpus_per_trial: int | None = option(
        None,
        "GPUs that Ray gives each trial.",
        facts=Facts(shown="1 on a GPU, else 0", needs=(RAY,)),
        ge=0,
        le=64,
    )
    cpus_per_trial: int | None = option(
        None,
        "Cores that Ray gives each trial.",
        facts=Facts(shown="a node's, shared among its GPUs", needs=(RAY,)),
        ge=1,
        le=4096,
    )

    @property
    def alone(self) -> bool:
        """Whether one trial runs at a time, on this machine."""
        return self.executor is Executor.LOCAL and not self.devices
