"""Adapters over AWS Secrets Manager."""
