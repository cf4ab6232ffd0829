"""The engine in plain torch: works for every format, on every device."""
