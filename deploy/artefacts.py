"""Builds what Lambda gets: a zip for each function and layers for what they share.

`python -m deploy.artefacts` builds for AWS; `--here` for this machine's Python and processor, to
run functions on an emulator or under a measurement. The same sources and lock file give the same
artefacts, byte for byte. Nothing is asked of the network once the wheels of the lock file and the
package of deploy/package-lock.json have been fetched.

docs/adr/0010-one-zip-per-function.md says why it is cut so.
"""

import argparse
import hashlib
import marshal
import platform
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import msgspec

from deploy import bytecode, needs, wheels
from trinity.topology import FUNCTIONS, Function

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
BUNDLE = "trinity/modules.bin"
"""The modules of a function: for each whether it is a package, and its bytecode; see loader.py."""
_WHEELS = BUILD / "wheels"
_LOCK = ROOT / "requirements" / "run.lock"
_LOADER = Path(__file__).with_name("loader.py")
UNPACKED_LIMIT = 250 * 1024 * 1024
"""Of a function with its layers: AWS Lambda developer guide, "Lambda quotas"."""


class Target(NamedTuple):
    """What the artefacts are for.

    Attributes:
        name: of the folder that they are put in.
        python: version of the language, `3.13`.
        platforms: of the wheels, best first; empty: those of this machine.
    """

    name: str
    python: str
    platforms: tuple[str, ...] = ()


# Lambda's Python 3.12 and later run on Amazon Linux 2023, which has glibc 2.34.
AWS = Target(
    "python3.13-arm64",
    "3.13",
    ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux2014_aarch64"),
)
HERE = Target(
    f"python{sys.version_info.major}.{sys.version_info.minor}-{platform.machine()}",
    f"{sys.version_info.major}.{sys.version_info.minor}",
)


class Layer(NamedTuple):
    """What several functions share.

    Attributes:
        libraries: import names that bring it to a function.
        requirements: of the lock file.
        modules: of ours that bring it to a function.
        data: files of ours in it, by where they lie below src/.
        without: patterns of files that nobody needs at run time.
        edits: file, and what is replaced in it by what, so that it does less when it is loaded.
    """

    libraries: frozenset[str] = frozenset()
    requirements: tuple[str, ...] = ()
    modules: frozenset[str] = frozenset()
    data: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    edits: Sequence[tuple[str, str, str]] = ()


_CATALOGUE = "trinity.infrastructure.catalogue"
LAYERS: Mapping[str, Layer] = {
    "msgspec": Layer(
        frozenset({"msgspec"}),
        ("msgspec",),
        # It loads all its formats at once: a twentieth of the start of a function, for nothing.
        without=(
            "msgspec/inspect.py",
            "msgspec/_json_schema.py",
            "msgspec/msgpack.py",
            "msgspec/toml.py",
            "msgspec/yaml.py",
        ),
        edits=(
            (
                "msgspec/__init__.py",
                "from . import inspect, json, msgpack, structs, toml, yaml\n",
                "from . import json, structs\n",
            ),
            ("msgspec/json.py", "from ._json_schema import schema, schema_components\n", ""),
            # It asks whether Python is older than 3.11 by compiling a word, for which the
            # interpreter makes all classes of its syntax tree: as much work as `import typing`.
            ("msgspec/_utils.py", 'typing.ForwardRef("Foo", is_class=True)\n', "pass\n"),
            # It looks twice for a library of which it takes nothing that Python 3.11 has not.
            (
                "msgspec/_utils.py",
                "from typing_extensions import get_type",
                "from typing import get_type",
            ),
            ("msgspec/_utils.py", "from typing_extensions import NotR", "from typing import NotR"),
        ),
    ),
    "crypto": Layer(
        frozenset({"cryptography", "argon2"}),
        ("cryptography", "argon2-cffi", "argon2-cffi-bindings", "cffi"),
        # Both use what cffi has built, and not cffi itself.
        without=("cffi/*", "_cffi_src/*"),
    ),
    "pictures": Layer(
        frozenset({"PIL"}),
        ("pillow",),
        # Of AVIF, fonts and windows; nobody draws letters or opens a window.
        without=(
            *(f"PIL/_{name}.*" for name in ("avif", "imagingft", "imagingmorph", "imagingtk")),
            *(f"pillow.libs/lib{n}*" for n in ("avif", "brotli", "freetype", "harfbuzz", "png")),
        ),
    ),
    "films": Layer(
        modules=frozenset({f"{_CATALOGUE}.embedded"}),
        data=(
            "trinity/infrastructure/catalogue/films.sqlite",
            "trinity/infrastructure/catalogue/ATTRIBUTION.md",
        ),
    ),
}
_NOBODY_NEEDS = ("*.pyi", "*/py.typed", "*/tests/*", "*/__main__.py", "*.h", "*.c")

OF_THE_RUNTIME = frozenset({"snapshot_restore_py"})
"""Libraries that Lambda's own runtime for Python brings."""

WORKED_OUT: Mapping[str, tuple[str, Path]] = {
    "trinity.openapi": ("trinity/openapi.json", ROOT / "schema" / "openapi.json"),
}
"""Modules that a function does not get, since what they would work out is shipped instead."""

SETTINGS: Mapping[str, str] = {
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://localhost",  # without TLS, which is nothing of ours
    "TRINITY_TABLE_NAME": "trinity",
    "TRINITY_BUCKET_NAME": "trinity",
    "TRINITY_ARCHIVE_BUCKET_NAME": "trinity",
    "TRINITY_UPLOADS_BUCKET_NAME": "trinity-uploads",
    "TRINITY_SIGNING_SECRET": "trinity",
    "TRINITY_CURSOR_SECRET": "trinity",
    "TRINITY_BUS_NAME": "trinity",
    "TRINITY_QUEUE_PREFIX": "trinity-",
    "TRINITY_APPSYNC_URL": "http://localhost/graphql",
    "TRINITY_SES": "on",
    "TRINITY_TOPIC_ARN": "trinity",
    "TRINITY_PUSH_SECRET": "trinity",
    "TRINITY_TMDB_SECRET": "trinity",
}
"""What tells a function that it runs on AWS. The values do not matter: they choose adapters."""


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """A zip file.

    Attributes:
        file: in the folder of the target.
        digest: of what it holds, whatever packed it: the same content has the same digest.
        zipped, unpacked: bytes.
        native: holds code of the processor.
    """

    file: str
    digest: str
    zipped: int
    unpacked: int
    native: bool


class FunctionArtefact(Artefact, frozen=True, kw_only=True):
    """What a function is shipped as.

    Attributes:
        handler: as Lambda wants it named.
        layers: names of its layers.
        modules: number of modules of ours.
    """

    handler: str
    layers: tuple[str, ...]
    modules: int


class Artefacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was built, as artefacts.json says it too."""

    python: str
    platforms: tuple[str, ...]
    functions: dict[str, FunctionArtefact]
    layers: dict[str, Artefact]

    def zipped(self, function: str) -> int:
        """Return what a function and its layers weigh, in bytes."""
        artefact = self.functions[function]
        return artefact.zipped + sum(self.layers[layer].zipped for layer in artefact.layers)

    def unpacked(self, function: str) -> int:
        """Return what a function and its layers take when they are unpacked, in bytes."""
        artefact = self.functions[function]
        return artefact.unpacked + sum(self.layers[layer].unpacked for layer in artefact.layers)


def build(target: Target, *, to: Path = BUILD) -> Artefacts:
    """Build everything anew.

    Args:
        target: what for.
        to: where a folder of the target's name is made.

    Raises:
        RuntimeError: something that it takes cannot be had; the message says what.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ours, shared, loader = (Path(scratch, name) for name in ("ours", "shared", "loader"))
        _copy_sources(ours)
        (loader / "trinity").mkdir(parents=True)
        shutil.copyfile(_LOADER, loader / "trinity" / "__init__.py")
        for name, layer in LAYERS.items():
            _fill(shared / name / "python", layer, target, _WHEELS / target.name / name)
        trees = [(ours, "/var/task"), (loader, "/var/task")]
        trees += [(shared / name, "/opt") for name in LAYERS]
        bytecode.compile_trees(trees, target.python)

        out = to / target.name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        built = Artefacts(
            python=target.python,
            platforms=target.platforms,
            functions={f.name: _function(f, ours, _tree(loader), target, out) for f in FUNCTIONS},
            layers={n: _pack(_tree(shared / n), out, f"layer-{n}") for n in LAYERS},
        )
    encoded = msgspec.json.format(msgspec.json.encode(built))
    (out / "artefacts.json").write_bytes(encoded + b"\n")
    return built


def _copy_sources(folder: Path) -> None:
    for source in needs.SOURCES.glob("trinity/**/*.py"):
        copy = folder / source.relative_to(needs.SOURCES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


def _fill(folder: Path, layer: Layer, target: Target, store: Path) -> None:
    """Put into a folder what a layer has, before it is compiled."""
    folder.mkdir(parents=True)
    if layer.requirements:
        fetched = wheels.fetch(
            layer.requirements, _LOCK, store, python=target.python, platforms=target.platforms
        )
        for wheel in fetched:
            wheels.unpack(wheel, folder)
        for file in list(folder.rglob("*")):
            inside = file.relative_to(folder).as_posix()
            if any(fnmatch(inside, pattern) for pattern in (*_NOBODY_NEEDS, *layer.without)):
                file.unlink()
        for inside, old, new in layer.edits:
            source = (folder / inside).read_text()
            if old not in source:
                raise RuntimeError(f"{inside} is not what it was: see the layers of {__name__}")
            (folder / inside).write_text(source.replace(old, new))
    for data in layer.data:
        shutil.copyfile(needs.SOURCES / data, folder / Path(data).name)


def _function(
    function: Function, ours: Path, loader: Mapping[str, bytes], target: Target, out: Path
) -> FunctionArtefact:
    settings = dict(SETTINGS)
    if ("cache", "share") in function.grants:
        settings["TRINITY_REDIS_URL"] = "redis://trinity"
    needed = needs.of_function(function.module, settings, not_into=WORKED_OUT)
    known = OF_THE_RUNTIME.union(*(layer.libraries for layer in LAYERS.values()))
    if unknown := needed.libraries - known:
        raise RuntimeError(
            f"{function.name} imports {', '.join(sorted(unknown))}, which no layer has"
        )
    files = dict(loader)
    modules: dict[str, tuple[bool, bytes]] = {}
    for module in sorted(needed.modules):
        if module in WORKED_OUT:
            inside, result = WORKED_OUT[module]
            files[inside] = result.read_bytes()
            continue
        source = needs.path_of(module)
        assert source is not None
        compiled = bytecode.bytecode_of(ours / source.relative_to(needs.SOURCES), target.python)
        modules[module] = (source.name == "__init__.py", bytecode.code(compiled))
    # Version 2 of the format has no references, which depend on who else holds an object.
    files[BUNDLE] = marshal.dumps(modules, 2)
    packed = _pack(files, out, function.name)
    return FunctionArtefact(
        **msgspec.structs.asdict(packed),
        handler=f"trinity.handlers.{function.module}.handler",
        layers=tuple(
            name
            for name, layer in LAYERS.items()
            if layer.libraries & needed.libraries or layer.modules & needed.modules
        ),
        modules=len(needed.modules),
    )


def _tree(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def _pack(files: Mapping[str, bytes], out: Path, name: str) -> Artefact:
    """Write a zip that depends on nothing but names and contents of its files."""
    digest = hashlib.sha256()
    unpacked = 0
    packed = out / f"{name}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for inside in sorted(files):
            content = files[inside]
            entry = zipfile.ZipInfo(inside, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, which the rights below are of
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
            digest.update(f"{inside}\0{len(content)}\0".encode() + content)
            unpacked += len(content)
    return Artefact(
        file=packed.name,
        digest=digest.hexdigest(),
        zipped=packed.stat().st_size,
        unpacked=unpacked,
        native=any(inside.endswith(".so") for inside in files),
    )


def table(built: Artefacts) -> str:
    """Return what everything weighs, for people."""
    lines = [f"{'function':<18}{'modules':>8}{'zip kB':>8}{'with layers':>12}  % of 250 MB  layers"]
    for name, function in built.functions.items():
        lines.append(
            f"{name:<18}{function.modules:>8}{function.zipped / 1000:>8.0f}"
            f"{built.zipped(name) / 1000:>12.0f}{built.unpacked(name) / UNPACKED_LIMIT:>13.1%}"
            f"  {', '.join(function.layers)}"
        )
    lines.append(f"\n{'layer':<18}{'zip kB':>8}{'unpacked kB':>13}")
    for name, layer in built.layers.items():
        lines.append(f"{name:<18}{layer.zipped / 1000:>8.0f}{layer.unpacked / 1000:>13.0f}")
    return "\n".join(lines)


def main() -> int:
    """Build, and say what everything weighs."""
    parser = argparse.ArgumentParser(prog="python -m deploy.artefacts", description=__doc__)
    parser.add_argument("--here", action="store_true", help="for this machine, not for AWS")
    parser.add_argument("--to", type=Path, default=BUILD, help="folder (default: build/)")
    options = parser.parse_args()
    target = HERE if options.here else AWS
    try:
        built = build(target, to=options.to)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    print(table(built))
    print(f"\n{options.to / target.name}/artefacts.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
