"""Catalogues that are asked over the network."""
