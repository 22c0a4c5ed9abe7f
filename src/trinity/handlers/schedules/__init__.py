"""What clocks call."""
