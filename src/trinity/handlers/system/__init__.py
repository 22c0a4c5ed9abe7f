"""What machines ask: health, keys, the description of the API."""
