"""What decks can be made of."""
