"""Time and chance of the machine."""
