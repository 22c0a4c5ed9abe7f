"""Adapters for EventBridge and SQS."""
