"""Trinity on AWS: what each function is shipped as."""
