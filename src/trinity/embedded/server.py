"""The whole system in one process."""

import fcntl
import gc
import os
import resource
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from trinity.bootstrap import Services, use
from trinity.common.requests import LARGEST_BODY
from trinity.embedded import structs
from trinity.embedded.app import App
from trinity.embedded.authorizer import Authorizer
from trinity.embedded.background import Background
from trinity.embedded.gateway import Events, Router
from trinity.embedded.http import Http
from trinity.embedded.pumps import Housekeeper, StreamPump
from trinity.embedded.queues import QueuePump
from trinity.embedded.schedules import SchedulePump
from trinity.embedded.static import MediaFiles, StaticFiles
from trinity.embedded.websockets import WebSockets
from trinity.openapi import load
from trinity.topology import FUNCTIONS

if TYPE_CHECKING:
    from trinity.embedded.forms import Forms
    from trinity.embedded.graphql.api import Api, Call
    from trinity.embedded.realtime import Realtime

_COLLECT_AFTER = 20_000  # new objects; Python's own 700 come together in a few requests
_OPEN_FILES = 10_240  # what every system takes; a connection is one
# A client that takes nothing of what it was sent for so long is gone. Without this, the system
# keeps all that a sleeping phone was sent for a quarter of an hour, or for ever.
_TAKES_NOTHING_FOR_MS = 60_000
# A thread that wants to go on after a disk or network call waits this long for one that computes.
# Python's own 5 ms are many times what a request takes. Below 2 ms handing over the turn took a
# tenth more of the processor for each vote, and none was answered sooner.
_SWITCH_INTERVAL_S = 0.002


class DataInUse(Exception):
    """Another process serves the same data."""


class DataUnusable(Exception):
    """The data folder or what is in it cannot be used."""


class AddressInUse(Exception):
    """Another program listens on the same port."""


class _Server(uvicorn.Server):
    """Ends WebSockets as AppSync would, before uvicorn ends them in its own way."""

    def __init__(self, app: App, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        self._app.hang_up()
        await super().shutdown(sockets)


def serve(services: Services, announce: Callable[[str, int], None]) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is running and return.

    Args:
        services: what to serve with.
        announce: called with host and port when requests are answered.

    Raises:
        DataInUse: another process serves the same data.
        DataUnusable: the data folder is none, or its database or a key is none.
        AddressInUse: another program listens on the port.
        SchemaTooNew: a newer version of Trinity wrote the data.
    """
    settings = services.settings
    # Until there is something to finish, a signal simply ends it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    os.umask(0o077)  # hashes, addresses and keys lie in the data: nobody else is to read them
    try:
        settings.folder.mkdir(parents=True, exist_ok=True)
        settings.folder.chmod(0o700)
    except OSError as error:
        raise _unusable(error) from None
    lock = _lock(settings.folder / "lock")
    _allow_many_connections()
    listener = _listen(settings.host, settings.port)
    port: int = listener.getsockname()[1]
    if settings.port == 0:
        services.settings = settings = settings.at_port(port)
    use(services)
    services.before_use = structs.prepare
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    log = services.log
    try:
        # Whatever is wrong with the data shows now, and not in somebody's request.
        store, keys, decks = services.store, services.keys, services.blob_files
        _ = services.secrets
    except sqlite3.DatabaseError as error:
        path = settings.folder / "trinity.sqlite"
        raise DataUnusable(f"{path} cannot be used: {error}; try trinity doctor") from None
    except OSError as error:
        raise _unusable(error) from None
    except ValueError as error:  # a key that is none
        raise DataUnusable(f"{error}; bring a backup back") from None
    handlers = {function.name: load(function) for function in FUNCTIONS}
    structs.prepare()
    authorizer = Authorizer(keys, settings.issuer)
    events = Events(authorizer)

    def graphql(call: "Call") -> "Api":
        from trinity.embedded.graphql.api import Api

        structs.prepare()
        introspection = settings.graphql_introspection == "on"
        return Api(call, authorizer, events.request_id, log, introspection=introspection)

    def realtime(call: "Call", api: "Api") -> "Realtime":
        from trinity.embedded.realtime import Realtime

        structs.prepare()
        endpoint = Realtime(call, api, log)
        services.broadcast.listen(endpoint)
        return endpoint

    def forms() -> "Forms":
        from trinity.embedded.forms import Forms

        structs.prepare()
        return Forms(services.store_uploads, services.store_queues, services.clock, log)

    app = App(
        Router(FUNCTIONS),
        events,
        handlers,
        StaticFiles(),
        MediaFiles(services.media),
        store,
        log,
        graphql,
        realtime,
        forms,
    )
    services.store_queues.release()  # the data is ours alone: whoever held a message is no more
    pumps: list[Background] = [
        StreamPump(store, function, stream, handlers[function.name], log)
        for function in FUNCTIONS
        for stream in function.streams
    ]
    pumps += [
        QueuePump(services.store_queues, function, function.queue, handlers[function.name], log)
        for function in FUNCTIONS
        if function.queue is not None
        for _ in range(function.queue.workers)
    ]
    pumps += [
        SchedulePump(store.table, services.clock, schedule, handlers[function.name], log)
        for function in FUNCTIONS
        for schedule in function.schedules
    ]
    pumps.append(Housekeeper(store, services.store_queues, decks, log))
    server = _Server(
        app,
        uvicorn.Config(
            app,
            loop="uvloop",
            http=Http,
            ws=WebSockets,
            ws_max_size=LARGEST_BODY,
            ws_per_message_deflate=False,  # it would cost more than all the rest of a delivery
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=10,
        ),
    )
    # uvicorn hands a signal on to the handler before its own when it is done: one that ends the
    # process at once would keep us from closing the store.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    # What is loaded by now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    announce(settings.host, port)  # before anything that writes lines of its own
    for pump in pumps:
        pump.start()
    try:
        server.run(sockets=[listener])
    finally:
        app.stop()
        for pump in pumps:
            pump.stop()
        for pump in pumps:
            pump.join()
        store.close()
        os.close(lock)


def addresses() -> list[str]:
    """Return under which addresses other machines of the network may find this one."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.connect(("192.0.2.1", 9))  # RFC 5737: leads nowhere, and UDP sends nothing yet
        return [str(probe.getsockname()[0])]
    except OSError:
        return []
    finally:
        probe.close()


def _unusable(error: OSError) -> DataUnusable:
    reason = "it is a file, not a folder" if isinstance(error, FileExistsError) else error.strerror
    return DataUnusable(f"{error.filename} cannot be used: {reason}")


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise DataInUse(f"another Trinity serves the data in {path.parent} already") from None
    return handle


def _allow_many_connections() -> None:
    """Open as many files as the system lets us: many start programs with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _TAKES_NOTHING_FOR_MS)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise AddressInUse(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.listen(2048)
    return listener
