"""E-mail: how a message is composed, and SMTP."""
