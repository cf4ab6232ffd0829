"""Weight matrices: the formats that hold them, what reads or makes them, and what quantizes them."""
