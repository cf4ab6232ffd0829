"""A run in a process of its own, whose one trial is a stand-in that measures nothing and takes its time.

The stand-in leaves a record, starts a program as a compiler would be, makes a temporary folder and sleeps.
Arguments: the results folder, and the seconds that the trial takes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from quantbench.api import execute
from quantbench.executors import processes
from quantbench.executors.interruption import TrialInterrupted
from quantbench.executors.processes import ForkServer
from quantbench.plan import Plan
from quantbench.settings import RunSettings
from quantbench.store import Store
from tests.builders import make_record, make_trial

RECORD = "QUANTBENCH_TEST_RECORD"  # environment variables of the stand-in
SECONDS = "QUANTBENCH_TEST_SECONDS"


def stand_in() -> None:
    """In place of a trial."""
    job = json.loads(sys.stdin.readline())
    Path(job["record_file"]).write_text(os.environ[RECORD])
    compiler = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    folder = tempfile.mkdtemp()
    print(json.dumps(["compiling", compiler.pid, 0]), flush=True)
    Path(job["folder"], "started").write_text(f"{compiler.pid} {folder}")
    time.sleep(float(os.environ[SECONDS]))


def main() -> int:
    """The exit status of the run."""
    folder, seconds = Path(sys.argv[1]), sys.argv[2]
    trial = make_trial()
    record = make_record(trial).model_copy(update={"warnings": ("measured so far",)})
    os.environ |= {RECORD: record.model_dump_json(), SECONDS: seconds}
    code = "from quantbench.executors.forkserver import serve; from tests.executors.driver import stand_in; "
    processes.SERVER = [sys.executable, "-c", f"{code}serve(lambda: stand_in)"]
    store = Store(folder)
    store.create()
    try:
        with ForkServer() as server:
            plan = Plan(trials=(trial,), baseline="fp16")
            execute(plan, store, RunSettings(), "a test", Console(stderr=True), server)
    except TrialInterrupted as interruption:
        return interruption.status
    return 0


if __name__ == "__main__":
    sys.exit(main())
