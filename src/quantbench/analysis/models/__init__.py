"""Many models side by side, each with its own baseline: figures, a front, effects of methods."""
