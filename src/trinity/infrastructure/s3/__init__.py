"""Adapters over Amazon S3."""
