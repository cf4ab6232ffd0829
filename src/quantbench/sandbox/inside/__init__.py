"""What runs in light interpreters, in the box or beside it; imports the standard library alone."""
