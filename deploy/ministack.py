"""A local AWS: MiniStack as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

REGION = "eu-west-1"
START_SECONDS = 30
STOP_SECONDS = 5


def environment(
    endpoint: str,
    key: str = "test",
    secret: str = "test",  # noqa: S107  (it opens nothing but the emulator)
) -> dict[str, str]:
    """Return the variables with which SDKs, and Trinity, call MiniStack.

    Args:
        endpoint: where it is.
        key: id of an access key; `test` may do anything.
        secret: of the key.
    """
    return {
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
    }


@contextmanager
def running(directory: Path, *, port: int = 0, **settings: str) -> Iterator[str]:
    """Run MiniStack and yield its URL.

    Args:
        directory: an empty one for its files; its output goes to `ministack.log` there.
        port: to listen on; 0 takes a free one.
        settings: environment variables of MiniStack, such as `AUTH="true"`.

    Raises:
        RuntimeError: it does not start, or something else listens on the port.
    """
    port = _free_port(port)
    inherited = {
        # The environment is otherwise empty: Lambda functions inherit all of it.
        "PATH": os.defpath,
        "TMPDIR": str(directory),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # else it listens on 8883, too
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    with (directory / "ministack.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=directory,
            env=inherited,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group with its Lambda workers
        )
    try:
        _wait_for(port, process, directory / "ministack.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _free_port(wanted: int) -> int:
    """Return the port that is wanted, or any for 0, if nobody else listens on it."""
    try:
        with socket.create_server(("127.0.0.1", wanted)) as server:
            port: int = server.getsockname()[1]
            return port
    except OSError as error:
        raise RuntimeError(f"port {wanted} cannot be used: {error.strerror}") from None


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MiniStack did not start:\n{log.read_text()}") from None
            time.sleep(0.02)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass  # it can hang in a custom resource, its workers with it
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
