"""Ways to run a trial: each is a Callable[[Trial], Record]."""
