"""The durable store of the embedded host: one SQLite file."""
