"""Methods side by side: tests, corrections and verdicts. The only place that says 'differs'."""
