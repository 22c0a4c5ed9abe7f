"""Adapters over AWS AppSync."""
