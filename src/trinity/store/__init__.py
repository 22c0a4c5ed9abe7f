"""How entities lie in the table: keys, items, and the conditional writes that keep invariants."""
