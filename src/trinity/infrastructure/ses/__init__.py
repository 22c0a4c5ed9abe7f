"""Adapters over Amazon Simple Email Service."""
