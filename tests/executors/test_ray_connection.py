"""What the way to a Ray cluster says when it is not there or breaks; Ray itself is a stand-in."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from quantbench.errors import ServerError, UsageError
from quantbench.executors.ray_connection import connected

CLIENT = "ray://head:10001"


class StandIn(SimpleNamespace):
    """Ray's module: `fails` is what its `init` raises; it notes what is called."""

    def __init__(self, fails: Exception | None = None, *, there: bool = False) -> None:
        super().__init__(fails=fails, there=there, called=[])

    def is_initialized(self) -> bool:
        return bool(self.there)

    def init(self, address: str, **options: object) -> None:
        self.called.append(address)
        if self.fails:
            raise self.fails

    def shutdown(self) -> None:
        self.called.append("shutdown")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "quantbench.executors.ray_connection.find_spec",
        lambda name: object() if name == "grpc" else found(name),
    )
    return stand_in


def refused(address: str) -> str:
    with pytest.raises(UsageError) as raised, connected(address, "space"):
        pass
    return str(raised.value)


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'quantbench[ray]'" in refused("auto")


def test_without_rays_client_its_extra_is_named(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantbench.executors.ray_connection.find_spec", lambda name: None)
    said = refused(CLIENT)
    assert "pip install 'ray[client]'" in said and "--ray-address auto" in said
    assert ray.called == []


def test_a_cluster_that_is_not_there_is_said_with_the_first_line_of_the_reason(ray: StandIn) -> None:
    ray.fails = ConnectionError("ray client connection timeout\nand much more")
    said = refused(CLIENT)
    assert "(ray client connection timeout)" in said and "port 10001" in said and "much more" not in said
    assert "see `ray start --head`" in refused("auto")


def test_of_a_traceback_from_the_server_the_last_line_is_told(ray: StandIn) -> None:
    ray.fails = ConnectionAbortedError("Initialization failure from server:\nTraceback ...\nKeyError: 'x'\n")
    assert "(Initialization failure from server: KeyError: 'x')" in refused(CLIENT)


def test_a_connection_is_closed_in_the_end_and_another_s_is_not(ray: StandIn) -> None:
    with connected("auto", "space"):
        assert ray.called == ["auto"]
    assert ray.called == ["auto", "shutdown"]
    ray.called, ray.there = [], True
    with connected("auto", "space"):
        pass
    assert ray.called == []


RPC = type("_InactiveRpcError", (type("RpcError", (Exception,), {"__module__": "grpc"}),), {})
LOST = [ConnectionError("Failed during this or a preceding call"), RPC("status = NOT_FOUND")]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_a_lost_connection_is_one_sentence_that_says_what_runs_on(error: Exception, ray: StandIn) -> None:
    with pytest.raises(ServerError, match="the same command takes their records"), connected(CLIENT, "space"):
        raise error
    assert ray.called[-1] == "shutdown"


@pytest.mark.parametrize("error", [BrokenPipeError(), KeyboardInterrupt(), ValueError("mine")])
def test_what_is_not_rays_is_not_called_so(ray: StandIn, error: BaseException) -> None:
    with pytest.raises(type(error)), connected(CLIENT, "space"):
        raise error
