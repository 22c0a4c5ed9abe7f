"""What a function costs when it starts and when it runs, measured as Lambda runs it."""
