"""The version of the product, for its records and its packaging."""

__version__ = "0.1.0"
