"""A Lambda environment on this machine: a process with AWS's runtime client, and the Runtime API.

The client is `awslambdaric`, as in AWS's own images; what it talks to is documented in "Using the
Lambda runtime API for custom runtimes", AWS Lambda developer guide.
"""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

_LAUNCH = Path(__file__).with_name("launch.py")
_PATIENCE_S = 60
_COUNTER = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")


class Program(NamedTuple):
    """A function to be run.

    Attributes:
        name: for people.
        handler: module and attribute.
        folders: where it and what it imports lie, as in Lambda's search path.
        environment: its own variables.
    """

    name: str
    handler: str
    folders: tuple[Path, ...]
    environment: Mapping[str, str] = {}


class FunctionError(Exception):
    """The function could not be loaded, or raised."""


class Environment:
    """One execution environment, from its cold start to its end.

    Args:
        program: what runs in it.
        runtime: the folder in which `awslambdaric` is installed.
        counted: count instructions. That is slow, and times mean nothing then.
        modules: write the names of the loaded modules there after each event.
        snapshot: start it as SnapStart does, up to the snapshot; `restore` lets it go on.
        options: of the interpreter.
    """

    def __init__(
        self,
        program: Program,
        runtime: Path,
        *,
        counted: bool = False,
        modules: Path | None = None,
        snapshot: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        self._kind = "snap-start" if snapshot else "on-demand"
        self._arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._events: queue.Queue[bytes | None] = queue.Queue()
        self._server = _Server(self._arrived, self._events)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `stop`)
        self._counts = tempfile.NamedTemporaryFile() if counted else None  # noqa: SIM115
        folders = ":".join(map(str, (*program.folders, runtime)))
        command = [sys._base_executable, "-I", "-S", *options, str(_LAUNCH)]
        command += [program.handler, folders]
        if modules is not None:
            command.append(str(modules))
        if self._counts is not None:
            command = [*_COUNTER, f"--log-file={self._counts.name}", *command]
        self._process = subprocess.Popen(
            command,
            cwd=program.folders[0],
            env={**self._environment(program), **program.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            self._expect("restore" if snapshot else "next")
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Environment:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cpu_s(self) -> float:
        """Return the CPU time that the process has used so far, in user and kernel mode."""
        # clock_getcpuclockid(3) of another process, as glibc works it out.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def rss_mb(self) -> float:
        """Return the memory that the process takes now."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def sockets(self) -> set[str]:
        """Return what the process has open to others, by the names that the kernel has for it."""
        folder = Path(f"/proc/{self._process.pid}/fd")
        open_now = (str(descriptor.readlink()) for descriptor in folder.iterdir())
        return {name for name in open_now if name.startswith("socket:")}

    def output(self) -> str:
        """Return what it has written so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Hand over an event, and return the answer when the function is ready for another one.

        Raises:
            FunctionError: the function raised.
        """
        self._events.put(json.dumps(event).encode())
        answer = self._expect("response")
        self._expect("next")
        return json.loads(answer)

    def restore(self) -> None:
        """Let it go on after the snapshot, until it is ready for an event."""
        self._events.put(b"")
        self._expect("next")

    def stop(self) -> int | None:
        """End the process; return how many instructions it took if they were counted."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        finally:
            self._process.kill()
            self._events.put(None)
            self._server.shutdown()
            self._server.server_close()
            self._output.close()
        if self._counts is None:
            return None
        with self._counts:
            log = Path(self._counts.name).read_text()
        found = re.search(r"I\s+refs:\s+([\d,]+)", log)
        assert found is not None, log
        return int(found[1].replace(",", ""))

    def _expect(self, wanted: str) -> bytes:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                what, body = self._arrived.get(timeout=0.1)
                break
            except queue.Empty:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise FunctionError(f"it ended, or hangs:\n{self.output()}") from None
        if what != wanted:
            raise FunctionError(f"{what}: {body.decode()}")
        return body

    def _environment(self, program: Program) -> dict[str, str]:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONHASHSEED": "0",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}",
            "AWS_LAMBDA_FUNCTION_NAME": program.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_INITIALIZATION_TYPE": self._kind,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{program.name}",
            "LAMBDA_TASK_ROOT": str(program.folders[0]),
            "_HANDLER": program.handler,
        }


class _Server(ThreadingHTTPServer):
    """The Runtime API of one environment."""

    daemon_threads = True

    def __init__(
        self, arrived: queue.Queue[tuple[str, bytes]], events: queue.Queue[bytes | None]
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.arrived = arrived
        self.events = events
        self.invocations = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class _Requests(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    # Head and body go out together: apart, the body would wait 40 ms for the head to be confirmed.
    wbufsize = -1

    def do_GET(self) -> None:
        """Hand over the next event when there is one; or the news of a restore."""
        restoring = self.path.endswith("/restore/next")
        self.server.arrived.put(("restore" if restoring else "next", b""))
        event = self.server.events.get()
        if event is None:  # the environment has ended
            self.close_connection = True
            return
        if restoring:
            self._answer(200, b"", {})
            return
        self.server.invocations += 1
        number = self.server.invocations
        headers = {
            "Lambda-Runtime-Aws-Request-Id": f"00000000-0000-4000-8000-{number:012}",
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 1000 * _PATIENCE_S),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:bench",
            "Lambda-Runtime-Trace-Id": f"Root=1-5759e988-{number:024x};Sampled=1",
            "Content-Type": "application/json",
        }
        self._answer(200, event, headers)

    def do_POST(self) -> None:
        """Take an answer, or an error."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(202, b"", {})
        self.server.arrived.put((self.path.rpartition("/")[2], body))

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
