#!/usr/bin/env bash
# Installs the software of other projects that the tests run beside ours: `make peers`, and the first step of CI.
#
# Everything is pinned (pom.xml, package-lock.json, go.sum, Debian's kcat). What is there already is not fetched again.
# Nothing downloads while tests run: without a peer its tests skip and name this script's make target.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"

say() { printf 'peers: %s\n' "$*"; }

if command -v mvn >/dev/null; then
    "$PYTHON" -m tests.peers.jvm
else
    say "no mvn: the tests of the Java client and of Apache Kafka will skip"
fi
