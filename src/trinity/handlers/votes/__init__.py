"""Votes and what comes of them."""
