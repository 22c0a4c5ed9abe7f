"""A small synchronous client for the AWS services that speak JSON."""
