#!/usr/bin/env bash
# Installs the software of other projects that the tests run beside ours: `make peers`, and a step of CI.
#
# Everything is pinned (pom.xml, package-lock.json, go.sum, Debian's kcat, constraints.txt). What is there already is not fetched again.
# Nothing downloads while tests run: without a peer its tests skip and name this script's make target.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"

say() { printf 'peers: %s\n' "$*"; }

# Apache Kafka: class paths of the releases that the tests name, and our Java programs compiled against them.
if command -v mvn >/dev/null && command -v javac >/dev/null; then
    "$PYTHON" -m tests.peers.jvm
else
    say "no mvn or javac: the tests of the Java clients and of Apache Kafka will skip"
fi

# KafkaJS and kafka-node. The stamp is the lock file that was installed.
if command -v npm >/dev/null; then
    (
        cd tests/clients/node
        if ! cmp -s package-lock.json node_modules/.installed-from; then
            npm ci --no-audit --no-fund --loglevel=error
            cp package-lock.json node_modules/.installed-from
        fi
        say "node packages are installed"
    )
else
    say "no npm: the tests of KafkaJS and kafka-node will skip"
fi

# franz-go. The go command itself knows whether anything changed.
if command -v go >/dev/null; then
    mkdir -p .cache/go
    (cd tests/clients/go && go build -trimpath -o ../../../.cache/go/franz_driver .)
    say "the franz-go driver is built"
else
    say "no go: the tests of franz-go will skip"
fi

# kcat comes with the system: installed here where that is ours to do, that is as root on Debian.
if command -v kcat >/dev/null; then
    say "kcat is there"
elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get install -y -qq kcat >/dev/null || { apt-get update -qq && apt-get install -y -qq kcat >/dev/null; }
    say "kcat is installed"
else
    say "no kcat: install it with your package manager, its tests will skip"
fi

# atheris, the fuzzer of tests/fuzz. It is no part of the dev extra, because it has no wheel outside of Linux.
if "$PYTHON" -m pip install --quiet --constraint constraints.txt atheris; then
    say "atheris is installed"
else
    say "no atheris for this Python and system: the fuzz target will skip"
fi
