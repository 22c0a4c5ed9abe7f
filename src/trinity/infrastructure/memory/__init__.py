"""Adapters that keep things in the memory of the process."""
