"""Compile every module below some folders, with the interpreter that this runs on.

`python compile_tree.py FOLDER PLACE [FOLDER PLACE]...`: PLACE is where the folder before it will
lie, for tracebacks.

The bytecode is of the unchecked-hash kind (PEP 552): it is used as it is, whatever the time stamp
of the source. Time stamps do not survive being packed, and the stale bytecode of the usual kind
would be compiled anew at each cold start, for a function's folder cannot be written to.

It has neither docstrings nor assertions: nobody asks for them there, and they are a sixth of it.
Its name is that of the usual bytecode all the same, for no function is started with `-OO`.
"""

import importlib.util
import pathlib
import py_compile
import sys


def compile_tree(folder: str, place: str) -> None:
    """Write `__pycache__/*.pyc` beside every module.

    Raises:
        py_compile.PyCompileError: a module is not of this version of the language.
    """
    for source in sorted(pathlib.Path(folder).rglob("*.py")):
        inside = source.relative_to(folder).as_posix()
        py_compile.compile(
            str(source),
            cfile=importlib.util.cache_from_source(source, optimization=""),
            dfile=f"{place}/{inside}",
            doraise=True,
            optimize=2,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        compile_tree(*pair)
