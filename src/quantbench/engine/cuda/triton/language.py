"""Triton where it is installed; elsewhere names that let the kernel files be imported, not run.

Each kernel stands beside its plain torch reference, and the references must work without Triton.
"""

from typing import Any

try:
    import triton
    import triton.language as tl
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

    MISSING: str | None = None
except ImportError as error:
    absent = isinstance(error, ModuleNotFoundError) and error.name == "triton"
    MISSING = "Triton is not installed" if absent else f"Triton is too old ({error})"

    class _Nothing:
        """Stands for every name of Triton while the files are read; a decorated kernel stays as it is."""

        def __getattr__(self, name: str) -> Any:
            return self

        def __call__(self, *arguments: Any, **options: Any) -> Any:
            return arguments[0] if arguments else self

    triton: Any = _Nothing()  # type: ignore[no-redef]
    tl: Any = _Nothing()  # type: ignore[no-redef]
    gdc_launch_dependents: Any = _Nothing()  # type: ignore[no-redef]
    gdc_wait: Any = _Nothing()  # type: ignore[no-redef]

__all__ = ["MISSING", "gdc_launch_dependents", "gdc_wait", "tl", "triton"]
