"""Compile every module below some folders, with the interpreter that this runs on.

`python compile_tree.py FOLDER PLACE [FOLDER PLACE]...`: PLACE is where the folder before it will
lie, for tracebacks.

The bytecode is of the unchecked-hash kind (PEP 552): it is used as it is, whatever the time stamp
of the source. Time stamps do not survive being packed, and the stale bytecode of the usual kind
would be compiled anew at each cold start, for a function's folder cannot be written to.
"""

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
            dfile=f"{place}/{inside}",
            doraise=True,
            optimize=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        compile_tree(*pair)
