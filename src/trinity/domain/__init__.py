"""Entities and rules, pure: no I/O, no clock, no chance.

Values are frozen `msgspec.Struct` classes: defining ten of them costs a cold start less than a
tenth of what ten dataclasses cost, and every function loads msgspec for validation anyway.
"""
