"""quantbench tells you what quantizing a language model buys and what it costs, on your machine."""

__version__ = "0.1.0"
