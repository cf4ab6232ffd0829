"""Problems that are published on the hub, one file of a data set."""

from pathlib import Path

from quantbench.errors import TaskError


def fetch_file(dataset: str, file: str, *, title: str, fix: str) -> Path:
    """The file, or the last that fits a pattern, from the cache or the hub.

    TaskError names the task and the fix where neither has it.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(dataset, repo_type="dataset", allow_patterns=[file])
    except Exception as error:  # the hub's errors: offline, no network, gated, moved
        raise TaskError(
            f"{title} is not in the cache and cannot be had from the hub ({type(error).__name__}); {fix}"
        ) from error
    found = sorted(Path(folder).glob(file))
    if not found:
        raise TaskError(f"{title} is not complete in the hub's cache; {fix}")
    return found[-1]
