"""The command line's entry: `quantbench`, and `python -m quantbench` where that is not on the path."""

import sys

from quantbench.prestart import begin_early, end_early


def main() -> None:
    """Let a run's imports begin, then read the command line."""
    begin_early(sys.argv[1:])
    try:
        from quantbench.cli import main as command

        command()
    finally:
        end_early()


if __name__ == "__main__":
    main()
