"""What a function needs: the modules of ours that it may ever load, and the libraries.

Two looks are put together. The function is loaded in a process of its own, with the settings that
it will have, and its ports are connected: that shows which adapters it takes, without a list of
them that could go stale. Then the source of every module found is read for what it imports,
anywhere, so that an import which waits for its first use is shipped as well.
"""

import ast
import functools
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parents[1] / "src"
PACKAGE = "trinity"
_CHOOSER = f"{PACKAGE}.bootstrap"
"""Imports the adapters of every host; which of them count is seen when it is run."""
_CHOICES = "Services"
_KIND = "_Function"
"""What the classes there come from that are kinds of functions; a function is of one of them."""

_LOAD = """
import importlib, json, sys
handler = importlib.import_module("trinity.handlers." + sys.argv[1]).handler
handler.connect()
loaded = [name for name in sys.modules if name.partition(".")[0] == "trinity"]
print(json.dumps([type(handler).__name__, loaded]))
"""


class Needs(NamedTuple):
    """What a function needs.

    Attributes:
        modules: of ours, by name, with the packages that they are in.
        libraries: names of the packages of others that they import, the standard library aside.
    """

    modules: frozenset[str]
    libraries: frozenset[str]


def of_function(
    handler_module: str, environment: Mapping[str, str], *, not_into: Collection[str] = ()
) -> Needs:
    """Return what a function needs.

    Args:
        handler_module: as in the topology, below `trinity.handlers`.
        environment: the settings that it will run with.
        not_into: modules whose own needs do not count.

    Raises:
        RuntimeError: it cannot be loaded with these settings.
    """
    kind, loaded = _loaded(handler_module, environment)
    return _closure(loaded, kind, not_into)


def path_of(module: str) -> Path | None:
    """Return the source of a module of ours; None if there is no such module."""
    base = SOURCES.joinpath(*module.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _loaded(handler_module: str, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return the kind of a function, and the modules of ours that it loads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRINITY_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, handler_module],
        env={**kept, **environment, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the function {handler_module} does not load:\n{done.stderr}")
    kind, loaded = json.loads(done.stdout.splitlines()[-1])
    return kind, loaded


def _closure(roots: list[str], kind: str, not_into: Collection[str]) -> Needs:
    modules: set[str] = set()
    libraries: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in modules:
            continue
        path = path_of(module)
        assert path is not None, module
        modules.add(module)
        waiting += [parent for parent in _parents(module) if parent not in modules]
        if module in not_into:
            continue
        ours, others = _imports(module, path, kind)
        waiting += ours - modules
        libraries |= others
    return Needs(frozenset(modules), frozenset(libraries))


def _parents(module: str) -> Iterator[str]:
    while "." in module:
        module = module.rpartition(".")[0]
        yield module


@functools.cache
def _imports(module: str, path: Path, kind: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the modules of ours, and the libraries, that a module imports anywhere.

    What chooses adapters, and what kinds of functions there are beside this one, is left aside.
    """
    ours: set[str] = set()
    others: set[str] = set()
    tree = ast.parse(path.read_bytes(), str(path))
    aside = _aside(tree, kind) if module == _CHOOSER else frozenset()
    for node in _statements(tree, aside):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: a relative import"
            # What is imported from a package may be one of its modules.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top == PACKAGE:
                if path_of(name) is not None:
                    ours.add(name)
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return frozenset(ours), frozenset(others)


def _aside(tree: ast.Module, kind: str) -> frozenset[str]:
    """Return the classes that a function of a kind does not use."""
    kinds = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == _KIND for base in node.bases)
    }
    assert kind in kinds, kind
    return frozenset({_CHOICES, *kinds} - {kind})


def _statements(node: ast.AST, aside: frozenset[str]) -> Iterator[ast.AST]:
    """Walk through all that may be run: not what stands there for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from _statements(other, aside)
            continue
        if isinstance(child, ast.ClassDef) and child.name in aside:
            continue
        yield child
        yield from _statements(child, aside)


def _is_type_checking(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
