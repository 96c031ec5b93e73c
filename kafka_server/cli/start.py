"""Owns: ``kafka-server start``: from the command line to a running process, and its end.
Must never know: what a broker is made of.

Exit codes: 0 stopped as asked, 1 a bug, 2 a setting or flag that cannot be used, 3 a listener that cannot be opened,
4 a data folder that cannot be used, 5 a disk that failed while running, 130 or 143 a second SIGINT or SIGTERM that did
not want to wait.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from kafka_server.cli.flags import FlagError, StartFlags
from kafka_server.config import ConfigError, Settings, load_settings

if TYPE_CHECKING:
    import asyncio

    from kafka_server.bootstrap import Broker

EXIT_USAGE: Final = 2
EXIT_BIND: Final = 3
EXIT_DATA_FOLDER: Final = 4
EXIT_DISK_FAILED: Final = 5
GIVE_UP_S: Final = 10.0
"""How long a broker whose disk failed may take to close what it can."""

GC_THRESHOLDS: Final = (50_000, 20, 20)
"""Python looks for cycles whenever there are 700 objects more than before, but the objects of a request form none and
are gone with it. A request for 5,000 partitions is 30,000 objects for a moment: looking through them again and again
was two fifths of its cost. What does form cycles - a failure with its traceback - is still found, only later."""

log = logging.getLogger("kafka_server.server")


def start(flags: StartFlags) -> int:
    """Runs a broker until it is told to stop; returns the exit code."""
    gc.disable()  # nothing that is built while starting is garbage; see _tidy_memory
    try:
        settings = load_settings(flags.given, os.environ, flags.config)
    except (ConfigError, FlagError) as error:
        return fail(str(error), EXIT_USAGE)
    import asyncio

    from kafka_server.domain.errors import StorageError
    from kafka_server.infrastructure.event_loop import new_event_loop
    from kafka_server.infrastructure.network.sockets import BindError
    from kafka_server.infrastructure.observability.log import configure
    from kafka_server.infrastructure.storage import StorageRefused

    configure(settings.log_level)
    try:
        _prepare_ready_file(settings)
    except OSError as error:
        return fail(_about_ready_file(settings, error), EXIT_USAGE)
    _raise_file_limit()
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_run(settings))
    except BindError as error:
        return fail(str(error), EXIT_BIND)
    except (StorageRefused, StorageError) as error:
        return fail(str(error), EXIT_DATA_FOLDER)
    finally:
        _remove_ready_file(settings)
        loop.close()


def fail(message: str, code: int) -> int:
    """Says what is wrong in one line and returns the exit code."""
    sys.stdout.flush()
    print(f"kafka-server: error: {message}", file=sys.stderr)
    return code


async def _run(settings: Settings) -> int:
    import asyncio

    from kafka_server.bootstrap import Broker

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    _handle_signals(loop, stopping)
    for note in settings.notes:
        log.warning("%s", note)
    broker = Broker(settings, loop)
    await broker.start()
    try:
        _write_ready_file(broker)
    except OSError as error:
        await broker.stop(grace_ms=0)
        return fail(_about_ready_file(settings, error), EXIT_USAGE)
    _announce(broker)
    assert broker.settling is not None
    broker.settling.add_done_callback(_tidy_memory)
    broker.failure.add_done_callback(lambda _: stopping.set())
    await stopping.wait()
    if broker.failure.done():
        return await _give_up(broker)
    log.info("Kafka Server stops: requests in flight have %d ms", settings.shutdown_grace_ms)
    await broker.stop(settings.shutdown_grace_ms)
    log.info("Kafka Server stopped")
    return 0


async def _give_up(broker: Broker) -> int:
    """Stops at once: what the disk holds is no longer known, so nothing more may be promised or marked as clean."""
    reason = broker.failure.result()
    log.critical("%s. The server stops; the next start checks the data folder", reason)

    def leave() -> None:
        os._exit(fail(f"{reason}; what still waited for the disk was left", EXIT_DISK_FAILED))

    # A disk that fails may hang as well, and with it the loop that waits for threads that wait for it, or the end of
    # the interpreter, which waits for them too.
    watchdog = threading.Timer(GIVE_UP_S, leave)
    watchdog.daemon = True
    watchdog.start()
    await broker.stop(grace_ms=0)
    return fail(reason, EXIT_DISK_FAILED)


def _announce(broker: Broker) -> None:
    """The lines that people and test tools wait for."""
    log.info("%s", broker.stores.description)
    for listener in broker.listeners:
        others = " (and on all other addresses of this machine)" if listener.is_everywhere else ""
        log.info("listening on %s%s", listener.seen_from_here(), others)
    if broker.metrics_address is not None:
        log.info("metrics on http://%s/metrics", broker.metrics_address)
    log.info("Kafka Server started (node %d, cluster %s)", broker.stores.node_id, broker.stores.cluster_id)


# ---- the ready file ----------------------------------------------------------------------------------------------


def _prepare_ready_file(settings: Settings) -> None:
    """Removes the one of an earlier run that was killed, which would be a lie, and tries whether one can be written:
    better to know before a log is checked for minutes. Raises OSError."""
    if settings.ready_file:
        with suppress(FileNotFoundError):
            os.remove(settings.ready_file)
        with open(_draft(settings), "w"):
            pass


def _write_ready_file(broker: Broker) -> None:
    """One line NAME://host:port for each listener, of addresses to connect to from this machine. Raises OSError."""
    settings = broker.settings
    if settings.ready_file:
        with open(_draft(settings), "w") as file:
            file.writelines(f"{listener.seen_from_here()}\n" for listener in broker.listeners)
        os.replace(_draft(settings), settings.ready_file)  # whoever watches the file never sees half of it


def _remove_ready_file(settings: Settings) -> None:
    """At the end of a run, whose outcome it cannot change any more."""
    if settings.ready_file:
        for path in (settings.ready_file, _draft(settings)):
            with suppress(OSError):
                os.remove(path)


def _draft(settings: Settings) -> str:
    return f"{settings.ready_file}.tmp"


def _about_ready_file(settings: Settings, error: OSError) -> str:
    return f"Cannot write the ready file {settings.ready_file}: {error.strerror}"


def _tidy_memory(_: object) -> None:
    """Takes what a start built, and what lives as long as the process, out of the garbage collector's rounds, and keeps
    the memory of one request for the next."""
    from kafka_server.infrastructure.freed_memory import keep_freed_memory

    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    keep_freed_memory()


def _handle_signals(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """The first SIGTERM or SIGINT stops gracefully, the second at once."""

    def on_signal(number: int) -> None:
        if stopping.is_set():
            sys.stdout.flush()
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, on_signal, number)
        except NotImplementedError:  # Windows: its loops know no signals, but run callbacks from Python's handlers
            signal.signal(number, lambda number, _: loop.call_soon_threadsafe(on_signal, number))


def _raise_file_limit() -> None:
    """Every connection is a file descriptor, and 1,024 of them are soon used up."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
