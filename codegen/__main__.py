"""Owns: the command line of the generator: ``python -m codegen generate|check|import``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from codegen import abouts, configs, generate
from codegen.importer import import_releases
from codegen.nodes import SpecError

ROOT = Path(__file__).resolve().parent.parent
CONFIG_MODULE = "../kafka_server/domain/config_definitions.py"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 fine, 1 stale or refused."""
    parser = argparse.ArgumentParser(prog="python -m codegen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("generate", "write generated/"),
        ("check", "fail when generated/ is stale or a text is missing"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--specs", type=Path, default=ROOT / "specs", help="our specs, or upstream's folder")
        command.add_argument("--output", type=Path, default=ROOT / "generated")
    importing = commands.add_parser("import", help="merge Kafka releases into specs/messages, oldest first")
    importing.add_argument("sources", nargs="+", type=Path, metavar="JAR_OR_DIR")
    importing.add_argument("--specs", type=Path, default=ROOT / "specs")
    options = parser.parse_args(arguments)
    try:
        return {"generate": _generate, "check": _check, "import": _import}[options.command](options)
    except SpecError as error:
        print(f"codegen: {error}", file=sys.stderr)
        return 1


def _render(options: argparse.Namespace) -> dict[str, str]:
    """Every file that the specs determine, by its path below the output folder."""
    files = generate.render_all(options.specs)
    if (options.specs / "configs.yaml").is_file() and options.output == ROOT / "generated":
        # The server reads config definitions on every start: as a module they load in a millisecond, as YAML in 200.
        files[CONFIG_MODULE] = configs.render_configs(options.specs)
    return files


def _generate(options: argparse.Namespace) -> int:
    files = _render(options)
    changed = generate.write(files, options.output)
    print(f"{len(files)} files in {options.output.name}/, {changed} changed")
    return 0


def _check(options: argparse.Namespace) -> int:
    files = _render(options)
    differing = generate.stale(files, options.output)
    for name in differing:
        print(f"stale: {options.output.name}/{name}", file=sys.stderr)
    if differing:
        print("generated code does not match specs/: run `make codegen` and commit the result", file=sys.stderr)
    silent = abouts.missing(options.specs) if (options.specs / "apis.yaml").is_file() else []
    for name in silent:
        print(f"no about: {name}", file=sys.stderr)
    if differing or silent:
        return 1
    print(f"{len(files)} files in {options.output.name}/ match {options.specs.name}/; every served field has its text")
    return 0


def _import(options: argparse.Namespace) -> int:
    names = import_releases(options.sources, options.specs / "messages")
    print(f"{len(names)} messages in {options.specs.name}/messages")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
