"""A plan on a real Ray cluster of several nodes: nothing lost, nothing doubled, whatever dies."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantbench.evaluation import distance
from quantbench.executors import ray_pool
from quantbench.executors.interruption import Interruption
from quantbench.executors.job import Job
from quantbench.executors.processes import ForkServer
from quantbench.executors.ray_pool import RayPool, open_ray
from quantbench.plan import Plan, Trial
from quantbench.runner import walk_plan
from quantbench.settings import ExecutionSettings, Executor
from quantbench.store import Store, Summary
from tests.builders import make_trial
from tests.executors.ray_work import stand_in

ray = pytest.importorskip("ray")
METHODS = ("int8", "int4", "bf16")
ASKED = ExecutionSettings(executor=Executor.RAY, cpus_per_trial=1, gpus_per_trial=0)  # type: ignore[call-arg]
LIMIT_S = 60.0 if os.getloadavg()[0] < 4 else 240.0


@pytest.fixture(scope="module")
def cluster(_paths: None) -> Iterator[Any]:
    """A head without cores, and two nodes with two each."""
    os.environ["RAY_raylet_start_wait_time_s"] = "120"  # noqa: SIM112 (a busy machine starts them slowly)
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80_000_000},
    )
    for _ in range(2):
        made.add_node(num_cpus=2, object_store_memory=80_000_000)
    ray.init(made.address, log_to_driver=False, logging_level="error", namespace="tests")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module", autouse=True)
def _paths() -> Iterator[None]:
    """Workers import the tests from where they are."""
    with pytest.MonkeyPatch.context() as patched:
        places = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        patched.setenv("PYTHONPATH", os.pathsep.join(places))
        yield


def there(folder: Path, baseline: str) -> bool:
    return distance.reference_path(folder, baseline).exists()


@pytest.fixture(autouse=True)
def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions of the stand-in are whole when they are there."""
    monkeypatch.setattr(ray_pool, "has_predictions", there)


BASELINE = make_trial(tasks=("quickeval",))
PLAN = Plan(
    trials=(BASELINE, *(make_trial(method=m, tasks=("quickeval",), reference=BASELINE.id) for m in METHODS)),
    baseline="fp16",
)


class Silent:
    """A watcher that counts."""

    def __init__(self) -> None:
        self.recorded: list[str] = []

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None: ...

    def on_record(self, trial: Trial, record: object) -> None:
        self.recorded.append(trial.method)

    def progress(self, stage: str, done: int, total: int) -> None: ...

    def lane(self, name: str) -> Callable[[str, int, int], None]:
        return self.progress


@contextlib.contextmanager
def pool_of(folder: Path, address: str = "auto") -> Iterator[RayPool]:
    silent = Silent()
    job = Job(
        folder=folder,
        command=str(folder),
        names={trial.id: trial.label for trial in PLAN.trials},
        models=frozenset({"m"}),
        display=silent,
        interruption=Interruption(),
        server=ForkServer(),
    )
    with open_ray(ASKED.model_copy(update={"ray_address": address}), job, stand_in) as pool:
        yield pool


def run(folder: Path, address: str = "auto") -> tuple[dict[str, Summary], list[str]]:
    """Run the plan to its end; what is known, and what was recorded now."""
    watcher = Silent()
    with pool_of(folder, address) as pool:
        known, _ = walk_plan(PLAN, Store(folder), pool, watcher)
    return known, watcher.recorded


def starts(folder: Path) -> Counter[str]:
    path = folder / "started"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.split()[0] for line in lines)


def nodes(folder: Path, method: str) -> list[str]:
    return [
        line.split()[1]
        for line in (folder / "started").read_text().splitlines()
        if line.startswith(f"{method} ")
    ]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def check_whole(folder: Path) -> None:
    """Every trial of the plan has exactly one record, and what the baseline predicted reached the others."""
    lines = (folder / "records.jsonl").read_text().splitlines()
    records, damaged = Store(folder).read()
    assert (len(lines), damaged) == (len(PLAN.trials), [])
    assert {record.trial_id for record in records} == {trial.id for trial in PLAN.trials}
    for record in records:
        expected = "" if record.trial_id == BASELINE.id else f"predictions of {BASELINE.id}"
        assert (record.warnings, record.failure) == ((expected,), None)
        assert (folder / "samples" / f"{record.trial.label}.jsonl").exists()


@pytest.mark.long
def test_a_plan_runs_on_several_nodes_the_baseline_first(cluster: Any, tmp_path: Path) -> None:
    _, recorded = run(tmp_path)
    assert recorded[0] == "fp16"
    assert starts(tmp_path) == Counter([trial.method for trial in PLAN.trials])
    check_whole(tmp_path)
    assert run(tmp_path)[1] == []


@pytest.mark.long
def test_a_worker_that_dies_three_times_is_recorded_with_its_reason(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "die-int4").touch()
    known, _ = run(tmp_path)
    failures = {one.method: one.failure for one in known.values() if one.failure}
    assert set(failures) == {"int4"}
    assert "its Ray worker died 3 times" in str(failures["int4"])
    assert starts(tmp_path)["int4"] == 3
    (tmp_path / "die-int4").unlink()
    assert run(tmp_path)[1] == ["int4"]


@pytest.mark.long
def test_trials_of_a_lost_node_run_again_elsewhere(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "wait-int8").touch()
    extra = cluster.add_node(num_cpus=2, object_store_memory=80_000_000)
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(run(tmp_path)))
    thread.start()
    until(lambda: starts(tmp_path)["int8"] == 1)
    (first,) = nodes(tmp_path, "int8")
    lost = next(node for node in cluster.list_all_nodes() if node.node_id == first)
    cluster.remove_node(lost, allow_graceful=False)
    (tmp_path / "wait-int8").unlink()
    thread.join(LIMIT_S)
    check_whole(tmp_path)
    assert nodes(tmp_path, "int8")[-1] != first
    if lost is not extra:
        cluster.add_node(num_cpus=2, object_store_memory=80_000_000)


def test_a_run_that_died_is_gone_on_with_where_it_was(cluster: Any, tmp_path: Path) -> None:
    """Its trials run on without it; the same command takes their records and begins none of them again."""
    (tmp_path / "wait-int8").touch()

    class Died(BaseException):
        """The run is gone in the middle; nobody cleans up."""

    class Dying(Silent):
        def on_start(self, trial: Trial, number: int, count: int) -> None:
            if trial.method == "int4":
                until(lambda: starts(tmp_path)["int8"] == 1)
                raise Died

    with contextlib.suppress(Died), pool_of(tmp_path) as pool:
        walk_plan(PLAN, Store(tmp_path), pool, Dying())
    assert starts(tmp_path) == Counter(["fp16", "int8"])
    (tmp_path / "wait-int8").unlink()
    _, recorded = run(tmp_path)
    assert set(recorded) == set(METHODS)
    assert starts(tmp_path)["int8"] == 1
    check_whole(tmp_path)


@pytest.fixture(scope="module")
def client_address(cluster: Any) -> Iterator[str]:
    """The cluster's server of clients, as `ray start --head` has it."""
    pytest.importorskip("grpc")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = ["-m", "ray.util.client.server", "--mode", "specific-server", "--host", "127.0.0.1"]
    server = subprocess.Popen(
        [sys.executable, *command, "--port", port, "--address", cluster.address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: answers(int(port)))
    yield f"ray://127.0.0.1:{port}"
    server.kill()
    server.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def client(folder: Path, address: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.executors.ray_client", str(folder), address]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_a_client_gets_the_same_records_as_a_node(client_address: str, tmp_path: Path) -> None:
    out, err = client(tmp_path, client_address).communicate(timeout=LIMIT_S)
    assert out.split()[0] == "fp16" and set(out.split()[1:]) == set(METHODS), err
    check_whole(tmp_path)


@pytest.mark.long
def test_a_client_that_was_killed_is_gone_on_with_where_it_was(client_address: str, tmp_path: Path) -> None:
    (tmp_path / "wait-int8").touch()
    first = client(tmp_path, client_address)
    until(lambda: starts(tmp_path)["int8"] == 1)
    first.kill()
    first.communicate()
    (tmp_path / "wait-int8").unlink()
    _, err = client(tmp_path, client_address).communicate(timeout=LIMIT_S)
    check_whole(tmp_path)
    assert starts(tmp_path)["int8"] == 1, err
