"""What every function shares: parsing events, validation, the caller, errors, telemetry."""
