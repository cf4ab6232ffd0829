"""Runs untrusted programs; see box.py for what is stopped and what is not."""
