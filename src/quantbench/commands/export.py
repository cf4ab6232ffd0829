"""`quantbench export`: a model under a method as a checkpoint that other programs load."""

from rich.console import Console

from quantbench.output import Output
from quantbench.settings.commands import ExportSettings
from quantbench.units import show_bytes


def export(settings: ExportSettings, out: Output, err: Console) -> int:
    """Write a model under a method as a checkpoint that transformers, vLLM or llama.cpp load.

    Every weight keeps exactly the value that the method gives it; a format that cannot say it is refused.

    Example: quantbench export ./my-model --method int8-head16 --format compressed-tensors
    """
    from quantbench import api

    folder = api.export_as(settings, console=err)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}

    def show(console: Console) -> None:
        total = show_bytes(sum(files.values()))
        console.print(f"{folder}: {total}", highlight=False, markup=False, soft_wrap=True)
        for name, size in files.items():
            console.print(f"  {name}  {show_bytes(size)}", highlight=False, markup=False, soft_wrap=True)

    out.give({"folder": folder, "files": files}, show)
    return 0
