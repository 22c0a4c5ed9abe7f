"""What Lambda gets: whole, lean, compiled, and the same every time."""

import _imp
import importlib.util
import json
import marshal
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from deploy.artefacts import BUNDLE, LAYERS, UNPACKED_LIMIT

from deploy import artefacts, needs, wheels
from tests.deploy.conftest import Built
from trinity.topology import FUNCTIONS

ROOT = Path(__file__).parents[2]
MOST_ZIPPED = 400_000
MOST_ZIPPED_WITH_LIBRARIES = 6_000_000
MOST_ZIPPED_FILMS = 3_000_000
MOST_ZIPPED_PICTURES = 5_000_000
MOST_OF_THE_LAW = 0.10

MAGIC = {"3.11": 3495, "3.13": 3571}
"""Of bytecode; they stand in Lib/importlib/_bootstrap_external.py of CPython."""
ELF_MACHINE = {"aarch64": 183, "x86_64": 62}

LOAD_ALL = """
import sys
sys.path[:0] = sys.argv[1].split(":")
import importlib
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    path = name.replace(".", "/") + ("/__init__" if hasattr(module, "__path__") else "")
    # Stacks name the file and the line of the repository.
    assert module.__file__ == f"/var/task/{path}.py", module.__file__
    assert name == "trinity" or type(module.__loader__).__name__ == "_Bundle", module.__loader__
"""


@pytest.fixture(params=["here", "aws"])
def built(request: pytest.FixtureRequest) -> Built:
    return request.getfixturevalue(request.param)


def contents(built: Built, file: str) -> dict[str, bytes]:
    with zipfile.ZipFile(built.folder / file) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def modules(built: Built, function: str) -> dict[str, tuple[bool, bytes]]:
    """Return the modules of ours that a function has: whether it is a package, and its code."""
    found: dict[str, tuple[bool, bytes]] = marshal.loads(contents(built, f"{function}.zip")[BUNDLE])
    return found


def everything(built: Built) -> dict[str, dict[str, bytes]]:
    artefacts = [*built.artefacts.functions.values(), *built.artefacts.layers.values()]
    return {artefact.file: contents(built, artefact.file) for artefact in artefacts}


@pytest.mark.parametrize("option", [(), ("--here",)], ids=["aws", "here"])
def test_the_same_sources_give_the_same_bytes(option, here, aws, tmp_path) -> None:
    other = {"PYTHONHASHSEED": "4711", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    subprocess.run(
        [sys.executable, "-m", "deploy.artefacts", *option, "--to", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, **other},
        umask=0o077,
        check=True,
        capture_output=True,
        timeout=120,
    )
    first = here if option else aws
    names = sorted(path.name for path in first.folder.iterdir())
    again = tmp_path / first.target.name
    assert names == sorted(path.name for path in again.iterdir())
    differing = [n for n in names if (first.folder / n).read_bytes() != (again / n).read_bytes()]
    assert not differing


def test_every_function_is_built_and_named_as_lambda_wants_it(built) -> None:
    assert list(built.artefacts.functions) == [function.name for function in FUNCTIONS]
    for function in FUNCTIONS:
        artefact = built.artefacts.functions[function.name]
        module, _, attribute = artefact.handler.rpartition(".")
        assert module in modules(built, function.name)
        assert attribute == "handler"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_stays_within_its_weight(function, built) -> None:
    artefact = built.artefacts.functions[function.name]
    assert not artefact.native, "native code belongs into a layer"
    assert artefact.zipped <= MOST_ZIPPED
    films = built.artefacts.layers["films"].zipped * ("films" in artefact.layers)
    assert films <= MOST_ZIPPED_FILMS
    pictures = built.artefacts.layers["pictures"].zipped * ("pictures" in artefact.layers)
    assert pictures <= MOST_ZIPPED_PICTURES
    rest = built.artefacts.zipped(function.name) - films - pictures
    assert rest <= MOST_ZIPPED_WITH_LIBRARIES
    assert built.artefacts.unpacked(function.name) <= MOST_OF_THE_LAW * UNPACKED_LIMIT
    assert len(artefact.layers) <= 5  # Lambda has no more


def test_what_is_said_of_an_artefact_is_so(built) -> None:
    said = json.loads((built.folder / "artefacts.json").read_text())
    for artefact in [*said["functions"].values(), *said["layers"].values()]:
        files = contents(built, artefact["file"])
        assert artefact["unpacked"] == sum(map(len, files.values()))
        assert artefact["zipped"] == (built.folder / artefact["file"]).stat().st_size
        assert artefact["native"] == any(name.endswith(".so") for name in files)


def test_every_module_has_bytecode_that_is_taken_as_it_is(built) -> None:
    version = built.target.python
    magic = struct.pack("<H", MAGIC[version]) + b"\r\n"
    tag = f"cpython-{version.replace('.', '')}"
    for file, files in everything(built).items():
        sources = {name for name in files if name.endswith(".py")}
        bytecode = {name for name in files if name.endswith(".pyc")}
        pairs = {m: f"{Path(m).parent}/__pycache__/{Path(m).stem}.{tag}.pyc" for m in sources}
        assert set(pairs.values()) == bytecode, file
        for module, compiled in pairs.items():
            head = files[compiled][:16]
            # PEP 552: bit 0 is for a hash in place of a time stamp, bit 1 for checking it.
            assert head[:8] == magic + struct.pack("<I", 0b01), (file, compiled)
            assert head[8:] == _imp.source_hash(int.from_bytes(magic, "little"), files[module])
            assert str(ROOT).encode() not in files[compiled]
        assert str(ROOT).encode() not in files.get(BUNDLE, b"")


def test_this_python_takes_the_bytecode_made_for_it(here) -> None:
    assert MAGIC[here.target.python].to_bytes(2, "little") == importlib.util.MAGIC_NUMBER[:2]


def test_native_code_is_for_the_processor_that_runs_it(built) -> None:
    machine = ELF_MACHINE[os.uname().machine if built.target is not artefacts.AWS else "aarch64"]
    libraries = 0
    for files in everything(built).values():
        for name, content in files.items():
            if name.endswith(".so"):
                libraries += 1
                assert content[:4] == b"\x7fELF"
                assert struct.unpack_from("<H", content, 18) == (machine,), name
    assert libraries >= 4


def unpacked(built: Built, function: str, folder: Path) -> tuple[Path, Path]:
    artefact = built.artefacts.functions[function]
    task, opt = folder / "task", folder / "opt"
    with zipfile.ZipFile(built.folder / artefact.file) as archive:
        archive.extractall(task)
    for layer in artefact.layers:
        with zipfile.ZipFile(built.folder / built.artefacts.layers[layer].file) as archive:
            archive.extractall(opt)
    return task, opt / "python"


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_is_whole(function, here, tmp_path) -> None:
    task, layers = unpacked(here, function.name, tmp_path)
    names = sorted(modules(here, function.name))
    # Also what is imported late is there: every module that is shipped can be loaded.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOAD_ALL, f"{task}:{layers}", *names],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_functions_get_nothing_of_the_other_host(here) -> None:
    for function in here.artefacts.functions:
        strangers = [
            name
            for name in modules(here, function)
            if name.startswith(("trinity.embedded", "trinity.cli", "trinity.topology"))
        ]
        assert not strangers, function


def test_the_films_go_to_those_alone_who_may_read_the_catalogue(built) -> None:
    readers = {f.name for f in FUNCTIONS if ("catalogue", "read") in f.grants}
    having = {n for n, function in built.artefacts.functions.items() if "films" in function.layers}
    assert having == readers
    assert {"python/films.sqlite", "python/ATTRIBUTION.md"} == contents(
        built, built.artefacts.layers["films"].file
    ).keys()


def test_the_client_of_the_shared_cache_goes_to_those_alone_who_share_it(built) -> None:
    sharing = {f.name for f in FUNCTIONS if ("cache", "share") in f.grants}
    having = {
        name
        for name in built.artefacts.functions
        if "trinity.infrastructure.redis.client" in modules(built, name)
    }
    assert having == sharing


def test_the_description_of_the_api_goes_to_one_function_alone(built) -> None:
    having = [
        name
        for name, function in built.artefacts.functions.items()
        if "trinity/openapi.json" in contents(built, function.file)
    ]
    assert having == ["openapi"]
    assert "trinity.openapi" not in modules(built, "openapi")


def test_an_import_for_the_type_checker_alone_is_not_shipped() -> None:
    needed = needs.of_function("system.discovery", {})
    assert "trinity.bootstrap" in needed.modules
    assert "trinity.infrastructure.memory.broadcast" not in needed.modules  # only a type there
    assert needed.libraries - artefacts.OF_THE_RUNTIME == {"msgspec"}


def test_an_import_that_waits_for_its_first_use_is_shipped(here) -> None:
    assert "trinity.common.streams" in modules(here, "publish")
    assert "crypto" in here.artefacts.functions["reset_password"].layers  # argon2, at first use


def test_a_function_gets_nothing_that_only_other_kinds_of_functions_use(here) -> None:
    """Those behind routes, streams, queues and clocks begin alike and read different events."""
    only = {
        "streams": {"publish", "emit"},
        "messages": {f.name for f in FUNCTIONS if f.queue is not None} | {"sweep_uploads"},
    }
    for module, wanted in only.items():
        having = {
            name
            for name in here.artefacts.functions
            if f"trinity.common.{module}" in modules(here, name)
        }
        assert having == wanted, module


def test_a_library_that_no_layer_has_stops_the_build(monkeypatch, tmp_path) -> None:
    fewer = {name: layer for name, layer in LAYERS.items() if name != "crypto"}
    monkeypatch.setattr(artefacts, "LAYERS", fewer)
    with pytest.raises(RuntimeError, match=r"register imports argon2, .*which no layer has"):
        artefacts.build(artefacts.HERE, to=tmp_path)


def test_a_package_that_is_not_locked_stops_the_build(tmp_path) -> None:
    lock = ROOT / "requirements" / "run.lock"
    with pytest.raises(RuntimeError, match=r"run\.lock does not have boto3"):
        wheels.fetch(["boto3", "msgspec"], lock, tmp_path, python="3.13")


def test_a_wheel_that_is_not_the_locked_one_stops_the_build(tmp_path) -> None:
    lock = tmp_path / "run.lock"
    lock.write_text(f"msgspec==0.22.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(RuntimeError, match=r"(?i)hash"):
        wheels.fetch(["msgspec"], lock, tmp_path / "store", python="3.13")
