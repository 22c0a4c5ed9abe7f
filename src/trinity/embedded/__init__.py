"""The one-process host: the same functions, fed the same events, on one machine."""
