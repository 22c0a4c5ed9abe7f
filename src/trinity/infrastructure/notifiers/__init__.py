"""Adapters of `Notifier`: e-mail, Web Push, webhooks."""
