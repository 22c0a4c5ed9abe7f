"""What people want to hear of while they are away, and where."""
