"""Trinity: groups decide together by swiping through a shared deck until they agree."""

__version__ = "0.1.0"
