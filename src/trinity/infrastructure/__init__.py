"""The adapters: each translates between a port and one piece of technology."""
