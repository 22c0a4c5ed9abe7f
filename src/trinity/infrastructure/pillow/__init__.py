"""Adapters over Pillow."""
