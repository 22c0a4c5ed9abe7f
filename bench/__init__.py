"""Benchmarks of Trinity's embedded host beside PocketBase. Run with `python -m bench`."""
