"""The ways of containing programs, by the names that records and reports show; strongest first."""

BUBBLEWRAP = "bubblewrap"
LANDLOCK = "landlock"
BUBBLEWRAP_ALONE = "bubblewrap-without-landlock"
CONTAINED = (BUBBLEWRAP, LANDLOCK, BUBBLEWRAP_ALONE)
UNSAFE = "unsafe-no-sandbox"
