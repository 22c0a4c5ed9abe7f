"""A small synchronous client for the AWS services that Trinity uses."""
