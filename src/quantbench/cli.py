"""The command line: turns options into settings, calls one function, prints what comes back.

Heavy imports stand inside the commands, so that `--help` answers at once.
"""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.exceptions import Abort, TyperException

import quantbench
from quantbench.errors import QuantbenchError

OUT = Console()
ERR = Console(stderr=True)
INTERRUPTED = {128 + number for number in (1, 2, 15)}  # SIGHUP, SIGINT, SIGTERM, as shells report them


def dashes(token: str) -> str:
    """Options may be written with `_` or `-`."""
    return token.replace("_", "-")


SETTINGS: dict[str, Any] = {"token_normalize_func": dashes, "help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="quantbench",
    help="What quantizing a language model buys and what it costs, measured on your machine.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2, Ctrl-C in 130."""
    refuse_empty(sys.argv[1:])
    try:
        status = app(standalone_mode=False) or 0
    except QuantbenchError as error:
        fail(str(error))
    except (KeyboardInterrupt, Abort):
        status = 130
    except TyperException as error:
        fail(f"{getattr(error, 'format_message', error.__str__)()} (see quantbench --help)")
    if status in INTERRUPTED:  # typer may turn Ctrl-C into its status itself
        with contextlib.suppress(OSError):  # a terminal that has hung up
            ERR.print("stopped; what was measured is kept, the same command goes on from there")
    sys.exit(status)


def refuse_empty(arguments: list[str]) -> None:
    """An empty value is a variable that was never set; taken as a path it would be the current folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        if not argument.strip() or (name.startswith("--") and equals and not value.strip()):
            which = name if equals else before if before.startswith("-") else "an argument"
            fail(f"{which} is empty; give it a value or leave it out")
        if "\0" in argument or (
            not argument.isprintable() and any("\ud800" <= c <= "\udfff" for c in argument)
        ):
            fail("an argument holds bytes that are no text; write it in UTF-8")


def fail(sentence: str) -> NoReturn:
    """Print one sentence and leave with exit code 2."""
    ERR.print(f"quantbench: {sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


@app.command()
def run(
    model: Annotated[str | None, typer.Argument(help="Hub id, folder, 'builtin', or 'random:NAME'.")] = None,
    model_option: Annotated[str | None, typer.Option("--model", help="The same as MODEL.")] = None,
    methods: Annotated[str | None, typer.Option(help="fp16,int8,int4 unless given; see `methods`.")] = None,
    baseline: Annotated[str | None, typer.Option(help="What the others are compared with.")] = None,
    tasks: Annotated[str | None, typer.Option(help="humaneval, quickeval or none.")] = None,
    task_data: Annotated[str | None, typer.Option(help="File with the task's problems.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Type of activations; auto.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, native or transformers.")] = None,
    batch_invariant: Annotated[
        bool | None, typer.Option("--batch-invariant", help="Same answer in any batch.")
    ] = None,
    exact_prompts: Annotated[
        bool | None,
        typer.Option("--exact-prompts", help="CPU: multiply prompts in float32, not in integers."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit on the hub.")] = None,
    trust_remote_code: Annotated[bool | None, typer.Option("--trust-remote-code")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N problems.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; 0.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows generated at once for tasks; 64.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Per completion; the task's.")] = None,
    completions_per_problem: Annotated[int | None, typer.Option(help="For pass@k; 1.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy, the default.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling; 1.")] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="Of the speed sweep, as 1,8,64; 1.")] = None,
    prompt_tokens: Annotated[str | None, typer.Option(help="Of the speed sweep; 128.")] = None,
    new_tokens: Annotated[int | None, typer.Option(help="Forced in the speed test; 128.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of speed, forth and back. [default: 1]")] = None,
    speed_budget: Annotated[
        float | None, typer.Option(help="Seconds of speed a method and round. [default: 5]")
    ] = None,
    text: Annotated[str | None, typer.Option(help="File to measure the distance on; the task.")] = None,
    floor: Annotated[bool | None, typer.Option(help="Run the baseline twice: the noise.")] = None,
    unsafe_no_sandbox: Annotated[bool | None, typer.Option("--unsafe-no-sandbox")] = None,
    output_dir: Annotated[Path | None, typer.Option("--output-dir", "-o", help="Results folder.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML with these options; options win.")] = None,
    output_format: Annotated[str | None, typer.Option("--format", help="md,html,json,csv.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")] = False,
) -> int:
    """Measure a model under each method and write the report.

    Example: quantbench run Qwen/Qwen2.5-0.5B --methods fp16,int8,int4 --device cuda:0
    """
    given = {name: value for name, value in locals().items() if value is not None}
    from quantbench import commands

    return commands.run(given, out=OUT, err=ERR)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A results folder.")],
    output_format: Annotated[str | None, typer.Option("--format", help="md,html,json,csv.")] = None,
) -> int:
    """Render a results folder again from its records; needs neither torch nor a GPU.

    Example: quantbench report results/builtin
    """
    from quantbench import commands

    return commands.report(folder, formats=output_format, out=OUT, err=ERR)


@app.command()
def recommend(
    folder: Annotated[Path, typer.Argument(help="A results folder.")],
    max_memory: Annotated[str | None, typer.Option(help="Of the memory column, as 2GB.")] = None,
    max_size: Annotated[str | None, typer.Option(help="Of the weights, as 500MB.")] = None,
    max_ttft: Annotated[str | None, typer.Option(help="Time to first token, as 200ms.")] = None,
    min_speed: Annotated[float | None, typer.Option(help="Decode tokens/s.")] = None,
    min_recovery: Annotated[float | None, typer.Option(help="Of the baseline's pass@1, as 0.97.")] = None,
) -> int:
    """Pick a method within limits from measured records, and say why each other one falls out.

    Example: quantbench recommend results/builtin --max-memory 2GB --min-recovery 0.97
    """
    from quantbench import deciding

    limits = deciding.read_limits(max_memory, max_size, max_ttft, min_speed, min_recovery)
    return deciding.recommend(folder, limits, out=OUT, err=ERR)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="A results folder.")],
    new: Annotated[Path, typer.Argument(help="Another one of the same model.")],
    fail_on: Annotated[str, typer.Option(help="regression exits with 1, never does not.")] = "never",
    tolerance: Annotated[float | None, typer.Option(help="Of speed and memory. [default: 0.05]")] = None,
) -> int:
    """Compare two results folders and mark what really changed; a gate for continuous integration.

    Example: quantbench compare results/before results/after --fail-on regression
    """
    from quantbench import deciding

    return deciding.compare(old, new, fail_on=fail_on, tolerance=tolerance, out=OUT, err=ERR)


@app.command()
def score(
    samples: Annotated[Path, typer.Argument(help="JSON lines with task_id and completion or solution.")],
    task: Annotated[str, typer.Option(help="humaneval or quickeval.")] = "humaneval",
    task_data: Annotated[str | None, typer.Option(help="File with the problems; HumanEval+ too.")] = None,
    protocol: Annotated[str, typer.Option(help="How programs are taken from the text.")] = "as-is",
    k: Annotated[str | None, typer.Option("--k", help="Of pass@k, as 1,5; 1,10,100.")] = None,
    workers: Annotated[int | None, typer.Option(help="Programs at once; one a core.", min=1)] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File of the verdicts; SAMPLES_results.jsonl.")
    ] = None,
    unsafe_no_sandbox: Annotated[bool, typer.Option("--unsafe-no-sandbox")] = False,
) -> int:
    """Score a file of samples in the official evaluators' format, in the sandbox.

    Exit status: 0 when every line and problem was scored, 1 when some were left out, 2 when nothing was.

    Example: quantbench score samples.jsonl --task humaneval --task-data HumanEval.jsonl.gz
    """
    from quantbench.scoring import score as scoring

    settings = scoring.ScoreSettings(
        samples=samples,
        task=task,
        task_data=task_data,
        protocol=protocol,
        ks=scoring.read_ks(k),
        workers=workers,
        output=output,
        unsafe=unsafe_no_sandbox,
    )
    return scoring.score(settings, out=OUT, err=ERR)


@app.command()
def methods(
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
) -> int:
    """List the methods: what can run here, and why the rest cannot.

    Example: quantbench methods --device cuda:0
    """
    from quantbench import commands

    return commands.methods(device, out=OUT)


@app.command()
def doctor() -> int:
    """Check GPU, libraries, sandbox and task data: what works, and how to mend the rest.

    Example: quantbench doctor
    """
    from quantbench import doctor

    return doctor.doctor(out=OUT)


@app.callback(invoke_without_command=True)
def common(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """What quantizing a language model buys and what it costs, measured on your machine.

    Example: quantbench run random:qwen2.5-0.5b --tasks none
    """
    if version:
        OUT.print(quantbench.__version__, highlight=False)
        raise typer.Exit()


if __name__ == "__main__":
    main()
