"""Adapters over Redis, or Valkey, which speaks the same."""
