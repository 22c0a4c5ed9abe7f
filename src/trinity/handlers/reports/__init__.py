"""Reports: what has become of it all."""
