"""What happens after a write: functions that work off queues."""
