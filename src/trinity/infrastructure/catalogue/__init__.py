"""The list of films that ships with Trinity."""
