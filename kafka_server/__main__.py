"""Owns: the entry point of ``kafka-server`` and ``python -m kafka_server``. Must never know: what the commands do.

A well-formed ``start`` is read without click, which would take a sixth of the start's time; see ``cli/flags.py``.
"""

from __future__ import annotations

import sys


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    try:
        if arguments[:1] == ["start"]:
            from kafka_server.cli.flags import FlagError, interpret, read_flags

            found = read_flags(arguments[1:])
            if found is not None:
                from kafka_server.cli.start import EXIT_USAGE, fail, start

                try:
                    return start(interpret(found))
                except FlagError as error:
                    return fail(str(error), EXIT_USAGE)
        from kafka_server.cli.app import cli

        cli(arguments, prog_name="kafka-server")
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    main()
