"""What docstrings say, for pages and messages. Functions on AWS are shipped without any."""

import inspect
import re


def described(kind: type) -> tuple[str, dict[str, str]]:
    """Return what the docstring of a type says: of itself, and of its attributes by their names."""
    text, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n     +.+)*)", attributes, flags=re.MULTILINE)
    return " ".join(text.split()), {name: " ".join(words.split()) for name, words in found}
