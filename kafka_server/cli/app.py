"""Owns: the command line as click sees it: help, mistakes, and every command but the fast path of ``start``.
Must never know: how a command does its work.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from kafka_server import __version__
from kafka_server.cli.flags import FLAGS, Flag, FlagError, StartFlags, interpret

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", prog_name="kafka-server")
def cli() -> None:
    """A Kafka-compatible broker.

    Every setting can be given as a flag, as a variable (num.partitions is KAFKA_NUM_PARTITIONS) or in a
    server.properties file; flags win over variables, and variables over the file.
    """


def _with_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Adds the flags of the table as options."""
    for flag in reversed(FLAGS):
        if flag.is_switch:
            option = click.option(flag.name, is_flag=True, help=flag.help)
        else:
            # Every value is kept: of a flag that is given twice click alone would take the last without a word.
            option = click.option(flag.name, metavar=flag.metavar, multiple=True, help=flag.help)
        function = option(function)
    return function


def _start_flags(options: dict[str, object]) -> StartFlags:
    """The options that were given, as settings. Raises click's UsageError."""
    found: list[tuple[Flag, str]] = []
    for flag in FLAGS:
        value = options[flag.name.removeprefix("--").replace("-", "_")]
        if isinstance(value, tuple):
            found.extend((flag, str(one)) for one in value)
        elif value not in (None, False):
            found.append((flag, "" if value is True else str(value)))
    try:
        return interpret(found)
    except FlagError as error:
        raise click.UsageError(str(error)) from error


@cli.command(context_settings=CONTEXT)
@_with_flags
def start(**options: object) -> None:
    """Start a broker and run it until SIGTERM or Ctrl-C (twice: at once).

    It is ready when it logs "Kafka Server started"; the lines "listening on NAME://host:port" say where.
    """
    from kafka_server.cli.start import start as run

    raise SystemExit(run(_start_flags(options)))


@cli.command("config", context_settings=CONTEXT)
@_with_flags
@click.option("--all", "show_all", is_flag=True, help="Also settings that have their default.")
@click.argument("name", required=False)
def config_command(show_all: bool, name: str | None, **options: object) -> None:
    """Show the settings that a start with the same flags and variables would use, with their sources."""
    from kafka_server.cli.config_command import show

    raise SystemExit(show(_start_flags(options), show_all, name))


@cli.group(context_settings=CONTEXT)
def storage() -> None:
    """Look at data folders and the files in them. Nothing is changed."""


@storage.command("dump", context_settings=CONTEXT)
@click.option("--records", is_flag=True, help="Also the records in each batch, decompressed.")
@click.option("--bytes", "raw", is_flag=True, help="Also the bytes of each field.")
@click.argument("files", nargs=-1, required=True)
def storage_dump(files: tuple[str, ...], records: bool, raw: bool) -> None:
    """Print segments (.log), indexes, producer snapshots or checkpoints in words."""
    from kafka_server.cli.storage_command import dump

    raise SystemExit(dump(files, records=records, raw=raw))


@storage.command("verify", context_settings=CONTEXT)
@click.argument("folders", nargs=-1, required=True)
def storage_verify(folders: tuple[str, ...]) -> None:
    """Check every batch, index, snapshot and checkpoint in data folders; exit code 1 when something is wrong."""
    from kafka_server.cli.storage_command import verify

    raise SystemExit(verify(folders))


@storage.command("info", context_settings=CONTEXT)
@click.argument("folders", nargs=-1, required=True)
def storage_info(folders: tuple[str, ...]) -> None:
    """Show whose data folders these are, how they were left, and what takes how much room."""
    from kafka_server.cli.storage_command import info

    raise SystemExit(info(folders))
