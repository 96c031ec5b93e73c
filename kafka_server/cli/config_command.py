"""Owns: ``kafka-server config``: what is set, where it comes from, whether it has an effect.
Must never know: how settings are used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from kafka_server.cli.flags import StartFlags
from kafka_server.cli.start import EXIT_USAGE, fail
from kafka_server.config import ConfigError, Settings, load_settings
from kafka_server.domain.config_def import ConfigKey, broker_keys

HIDDEN = "[hidden]"


def show(flags: StartFlags, show_all: bool, name: str | None) -> int:
    """Prints a table on a terminal, ``key=value  # source`` lines (a valid properties file) elsewhere."""
    try:
        settings = load_settings(flags.given, os.environ, flags.config)
    except ConfigError as error:
        return fail(str(error), EXIT_USAGE)
    keys: dict[str, ConfigKey] = dict(broker_keys().items())
    if name is not None:
        if name not in keys:
            return fail(f"there is no setting {name}", EXIT_USAGE)
        _print_one(settings, keys[name])
        return 0
    rows = list(_rows(settings, keys, show_all))
    if sys.stdout.isatty():
        _print_table(rows)
    else:
        for key, value, source, effect in rows:
            print(f"# {source}{'' if effect else ', without effect'}\n{key}={value}")
    return 0


def _rows(settings: Settings, keys: dict[str, ConfigKey], show_all: bool) -> Iterator[tuple[str, str, str, bool]]:
    """Key, value, source and whether it has an effect, sorted by key."""
    names = set(settings.given) | (set(keys) if show_all else set())
    for name in sorted(names):
        key = keys.get(name)
        given = settings.given.get(name)
        if key is not None and key.internal and given is None:
            continue
        text = given.text if given is not None else (key.default if key is not None and key.default is not None else "")
        if key is None or key.is_sensitive:  # an unknown key may be the misspelt name of a password
            text = HIDDEN if given is not None else ""
        yield name, text, given.source if given is not None else "default", key is not None and key.has_effect


def _print_one(settings: Settings, key: ConfigKey) -> None:
    given = settings.given.get(key.name)
    value = (given.text if given is not None else key.default) or ""
    print(f"{key.name} = {HIDDEN if key.is_sensitive and given else value}")
    print(f"  source:  {given.source if given is not None else 'default'}")
    print(f"  type:    {key.type.name.lower()}")
    if key.default is not None:
        print(f"  default: {key.default}")
    print(f"  effect:  {'yes' if key.has_effect else 'none in this version'}")
    print(f"  {key.doc}")


def _print_table(rows: list[tuple[str, str, str, bool]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Settings", title_justify="left")
    for heading in ("key", "value", "source", "effect"):
        table.add_column(heading, overflow="fold")
    for name, value, source, effect in rows:
        table.add_row(name, value, source, "yes" if effect else "[dim]none[/dim]")
    Console().print(table)
