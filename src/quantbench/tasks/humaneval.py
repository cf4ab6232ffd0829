"""HumanEval (Chen et al. 2021, arXiv:2107.03374): 164 hand-written Python problems.

The data are not part of this package: they come from --task-data, from HUMANEVAL_OVERRIDE_PATH, or from
the hub (openai/openai_humaneval). Whatever the container, the content is checked against the published one.
"""

import os
from pathlib import Path

from quantbench.tasks.hub import fetch_file
from quantbench.tasks.problem import Problem, Task
from quantbench.tasks.problem_file import content_digest, read_problems
from quantbench.tasks.protocols import FUNCTION_PROTOCOLS

OVERRIDE = "HUMANEVAL_OVERRIDE_PATH"
HUB_DATASET = "openai/openai_humaneval"
HUB_FILE = "openai_humaneval/test-00000-of-00001.parquet"

# content_digest of the 164 published problems, computed from the official HumanEval.jsonl.gz.
PUBLISHED_DIGEST = "53e6de8cb31dc96b8f53510f0ad0d6bbb34c02bf136f16bdcb6065a0964ec973"


def load_humaneval(data: str | None = None) -> Task:
    """HumanEval from `data`, from HUMANEVAL_OVERRIDE_PATH or from the hub; TaskError if none can be read."""
    path = Path(data or os.environ.get(OVERRIDE) or _download())
    problems = read_problems(path)
    digest = content_digest(problems)
    published = digest == PUBLISHED_DIGEST
    note = None if published else _difference(path, problems)
    return Task(
        name="humaneval",
        problems=problems,
        protocol=FUNCTION_PROTOCOLS[0],
        protocols=FUNCTION_PROTOCOLS,
        data_sha256=digest,
        comparable=published,
        note=note,
    )


def _difference(path: Path, problems: tuple[Problem, ...]) -> str:
    return (
        f"'{path.name}' holds {len(problems)} problems and is not the published HumanEval of 164; "
        "its pass@1 cannot be compared with published figures"
    )


def _download() -> Path:
    fix = f"give the file with --task-data HumanEval.jsonl.gz or set {OVERRIDE}"
    return fetch_file(HUB_DATASET, HUB_FILE, title="HumanEval", fix=fix)
