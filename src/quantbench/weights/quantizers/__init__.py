"""The arithmetic of quantizing one matrix, in plain torch, on the matrix's own device."""
