"""The way to a Ray cluster: from one of its nodes, or as a client from a machine that is none.

A client (`ray://HOST:PORT`) talks to a server on the cluster's head, which does for it what a node would do
by itself. Trials are detached actors either way, so they outlive the connection.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from quantbench.errors import ServerError, UsageError

CLIENT = "ray://"
MISSING = "Ray is missing: `pip install 'quantbench[ray]'`, or leave --executor ray out"
NO_CLIENT = (
    "--ray-address {address} needs Ray's client, which is missing: `pip install 'ray[client]'`, or run on a "
    "node of the cluster with --ray-address auto"
)


@contextmanager
def connected(address: str, namespace: str) -> Iterator[None]:
    """Within the block Ray is connected; a connection that was there before is kept and left as it is.

    UsageError where Ray, its client or the cluster is missing; ServerError where the connection is lost.
    """
    try:
        import ray
    except ImportError as error:
        raise UsageError(MISSING) from error
    if ray.is_initialized():
        yield
        return
    connect(address, namespace)
    try:
        with told_if_lost(address):
            yield
    finally:
        ray.shutdown()


def connect(address: str, namespace: str) -> None:
    """Connect to the cluster at the address; UsageError with Ray's reason where that fails."""
    import ray

    if address.startswith(CLIENT) and find_spec("grpc") is None:
        raise UsageError(NO_CLIENT.format(address=address))
    try:
        with warnings.catch_warnings(action="ignore"):  # what they say is in the error, too
            ray.init(address, namespace=namespace, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        fix = (
            "is the head's client server there, on port 10001 of `ray start --head`?"
            if address.startswith(CLIENT)
            else "see `ray start --head`"
        )
        raise UsageError(f"no Ray cluster at --ray-address {address} ({reason_of(error)}); {fix}") from error


@contextmanager
def told_if_lost(address: str) -> Iterator[None]:
    """ServerError in place of the errors with which a client's calls end once the connection is lost."""
    try:
        yield
    except Exception as error:
        if not is_lost(error):
            raise
        raise ServerError(
            f"the connection to Ray at {address} was lost ({reason_of(error)}); its trials run on: the same "
            "command takes their records"
        ) from error


def is_lost(error: Exception) -> bool:
    """Whether a client's call ended so since its server is gone: in Ray's own words, or in those of gRPC.

    Kinds of ConnectionError that the system raises, a broken pipe for one, are this process's own.
    """
    grpc = any(kind.__name__ == "RpcError" and kind.__module__ == "grpc" for kind in type(error).__mro__)
    return type(error) is ConnectionError or grpc


def reason_of(error: Exception) -> str:
    """The first line of what an exception says, with the last where a traceback lies between; or its name."""
    details = getattr(error, "details", None)  # of gRPC
    if callable(details):
        return str(details())
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
