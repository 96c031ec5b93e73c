"""Class paths of Apache Kafka releases, resolved by Maven from tests/peers/maven/pom.xml.

Owns: which releases the tests use, the cached class path files, the command line of a short-lived JVM.
Must never know: what the classes do.

`python -m tests.peers.jvm` resolves every release into .cache/jvm; nothing is downloaded while tests run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.peers import CACHE, CHECKOUT, PeerMissingError

POM = Path(__file__).with_name("maven") / "pom.xml"
CLASS_PATHS = CACHE / "jvm"
JAVA_SOURCES = CHECKOUT / "tests" / "clients" / "java"

NEWEST = "4.4.0"
NEWEST_TOOLS = "4.3.0"  # the newest release whose command line tools are published
OLD_PROTOCOL = "3.9.2"  # the last line that still answers the versions that 4.0 removed (KIP-896)
OLD_CLIENT = "2.8.2"
STREAMS = f"{NEWEST}-streams"  # with Kafka Streams beside it
RELEASES = (NEWEST, NEWEST_TOOLS, OLD_PROTOCOL, OLD_CLIENT, STREAMS)

# The programs in tests/clients/java that are compiled against a release.
PROGRAMS = {
    NEWEST: ("Driver",),
    NEWEST_TOOLS: ("Tools",),
    OLD_CLIENT: ("Driver", "Tools"),
    STREAMS: ("WordCount",),
}

# A tool lives for a second: the cheapest collector, no second compiler tier and the shared archive make it start fast.
SHORT_LIVED = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
QUIET = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    "-Dlog4j2.disable.jmx=true",
    "-Dlog4j.rootLogger=ERROR",
    "-Dlog4j2.level=ERROR",
)


def java() -> str:
    """The path of `java`. Raises PeerMissingError without one."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java") or (shutil.which("java", path=f"{home}/bin") if home else None)
    if found is None:
        raise PeerMissingError("no `java` on PATH; install a JDK 17 or newer")
    return found


def class_path(version: str = NEWEST) -> str:
    """The class path of that release of Apache Kafka. Raises PeerMissingError when it was not resolved before."""
    java()
    cached = CLASS_PATHS / f"kafka-{version}.classpath"
    if not cached.exists():
        raise PeerMissingError(f"the jars of Apache Kafka {version} are not resolved; run `make peers`")
    path = cached.read_text().strip()
    if lost := [jar for jar in path.split(":") if not Path(jar).exists()]:
        raise PeerMissingError(f"{len(lost)} jars of Apache Kafka {version} are gone; run `make peers`")
    return path


def command(version: str, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs one short-lived class of that release."""
    return [java(), *SHORT_LIVED, *QUIET, *options, "-cp", class_path(version), main_class, *arguments]


def program_classes(version: str) -> Path:
    """The folder of our compiled Java programs for that release. Raises PeerMissingError when they are not compiled."""
    classes = CLASS_PATHS / f"programs-{version}"
    for program in PROGRAMS[version]:
        compiled, source = classes / f"{program}.class", JAVA_SOURCES / f"{program}.java"
        if not compiled.exists() or compiled.stat().st_mtime < source.stat().st_mtime:
            raise PeerMissingError(f"{source.name} is not compiled for {version}; run `make peers`")
    return classes


def compile_programs(version: str) -> Path:
    """Compiles the programs of tests/clients/java against that release."""
    compiler = shutil.which("javac")
    if compiler is None:
        raise PeerMissingError("no `javac` on PATH; install a JDK 17 or newer")
    classes = CLASS_PATHS / f"programs-{version}"
    subprocess.run(
        [
            *(compiler, "-nowarn", "-Xlint:-options", "-proc:none", "-d", str(classes), "-cp", class_path(version)),
            *(str(JAVA_SOURCES / f"{program}.java") for program in PROGRAMS[version]),
        ],
        check=True,
    )
    return classes


def resolve(version: str) -> Path:
    """Lets Maven fetch the jars of one release and writes its class path file. Needs a registry or a warm ~/.m2."""
    maven = shutil.which("mvn")
    if maven is None:
        raise PeerMissingError("no `mvn` on PATH; install Maven 3.8 or newer")
    CLASS_PATHS.mkdir(parents=True, exist_ok=True)
    target = CLASS_PATHS / f"kafka-{version}.classpath"
    number, _, profile = version.partition("-")
    subprocess.run(
        [
            *(maven, "--quiet", "--batch-mode", "--file", str(POM)),
            *(f"-Dkafka.version={number}", *(["-Dkafka.tools=none"] if number == NEWEST else [])),
            *([f"-P{profile}"] if profile else []),
            *("dependency:build-classpath", f"-Dmdep.outputFile={target}"),
        ],
        check=True,
    )
    return target


def main() -> int:
    for version in RELEASES:
        try:
            if class_path(version):
                print(f"kafka {version}: resolved before")
        except PeerMissingError:
            print(f"kafka {version}: {resolve(version)}")
    for version in PROGRAMS:
        try:
            program_classes(version)
        except PeerMissingError:
            print(f"programs for {version}: {compile_programs(version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
