"""The package `trinity` as functions get it: all of its modules are in one file beside this one.

To look for fifty modules, one after another, was an eighth of what the start of a function takes
beyond that of an empty one. Finder and loader are those of https://peps.python.org/pep-0451.
"""

import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` is for the modules that need it
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any
else:
    ModuleSpec = type(__spec__)

with open(__file__.replace("__init__.py", "modules.bin"), "rb") as _file:  # noqa: PTH123
    _modules: "dict[str, tuple[bool, bytes]]" = marshal.loads(_file.read())  # noqa: S302


class _Bundle:
    def find_spec(self, name: str, *_: object) -> "ModuleSpec | None":
        """Return how a module is loaded if it is one of these."""
        if name not in _modules:
            return None
        # It is a loader by what it does: to inherit from one would import importlib.abc.
        return ModuleSpec(name, self, is_package=_modules[name][0])  # type: ignore[arg-type]

    def create_module(self, _: "ModuleSpec") -> None:
        """Let Python make an empty module."""

    def exec_module(self, module: "ModuleType") -> None:
        """Fill it."""
        _run(module.__name__, module.__dict__)


def _run(name: str, into: "dict[str, Any]") -> None:
    code = marshal.loads(_modules[name][1])  # noqa: S302
    into["__file__"] = code.co_filename
    exec(code, into)  # noqa: S102


sys.meta_path.insert(0, _Bundle())
_run("trinity", globals())
