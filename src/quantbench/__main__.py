"""`python -m quantbench`, where the command itself is not on the path."""

from quantbench.cli import main

if __name__ == "__main__":
    main()
