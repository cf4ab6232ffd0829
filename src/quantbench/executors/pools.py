"""The Pool that a run's settings ask for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quantbench.executors import local
from quantbench.executors.job import Job
from quantbench.executors.lanes import Lanes, lanes_of
from quantbench.settings import ExecutionSettings, Executor

if TYPE_CHECKING:
    from quantbench.executors.ray_pool import RayPool


@contextmanager
def open_pool(asked: ExecutionSettings, job: Job) -> "Iterator[local.LocalExecutor | Lanes | RayPool]":
    """A Pool, or what runs one trial, closed with all that it started when the block is left."""
    if asked.executor is Executor.RAY:
        from quantbench.executors.ray_pool import open_ray

        with open_ray(asked, job) as pool:
            yield pool
    elif asked.devices:
        with Lanes(lanes_of(asked.devices), job) as lanes:
            yield lanes
    else:
        yield local.LocalExecutor(
            job.folder,
            server=job.server,
            command=job.command,
            progress=job.display.progress,
            interruption=job.interruption,
            names=job.names,
        )
