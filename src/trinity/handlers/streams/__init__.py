"""What happens after a write, fed by the change feed."""
