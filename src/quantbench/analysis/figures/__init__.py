"""Figures of one method, read from its record: times, scores, sizes. Compares nothing."""
