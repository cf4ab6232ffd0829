"""Engines behind an OpenAI-compatible server: found, started, asked and stopped.

A served engine generates and times its tokens at the client; it hands out no tensors. Its decoder is
`decoder.ServedDecoder`. Nothing here imports an engine: servers live in environments of their own.
"""
