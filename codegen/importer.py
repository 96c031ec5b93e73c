"""Owns: ``python -m codegen import`` - merges the message schemas of several Kafka releases into ``specs/messages``.

Must never know: layouts, templates, Python types.

Only facts cross this border: names, types, versions, tags, nullability, defaults, and the flags. Upstream's comments
and ``about`` texts stay behind; an ``about`` that ``specs/messages`` already holds is ours and is kept. Newer releases
drop old versions, so the releases are merged oldest first: each version of each message comes from the newest release
that still has it. The merge is then proved: projected to any one version, the merged message must equal the release
that it came from, field by field and in the same order.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from codegen.nodes import SpecError, decode
from codegen.spec import Field, Message, Struct, parse_message, read_folder
from codegen.versions import NONE, OPEN, Versions

JAR_FOLDER = "common/message/"


def import_releases(sources: list[Path], target: Path) -> list[str]:
    """Merges ``sources`` (jars or folders, oldest release first) and writes one file per message into ``target``.

    Returns the names written. Raises SpecError when two releases contradict each other.
    """
    merged: dict[tuple[str, object], Message] = {}
    for source in sources:
        for message in read_release(source):
            key = (message.type, message.api_key if message.api_key is not None else message.name)
            merged[key] = merge(merged[key], message) if key in merged else message
    abouts = {m.name: _abouts(m) for m in read_folder(target)} if target.is_dir() else {}
    target.mkdir(parents=True, exist_ok=True)
    for message in merged.values():
        _adopt_abouts(message, abouts.get(message.name, {}))
        (target / f"{message.name}.json").write_text(serialise(message), encoding="utf-8")
    return sorted(message.name for message in merged.values())


def read_release(source: Path) -> list[Message]:
    """The messages of one release: a kafka-clients jar, or any folder that holds ``*.json`` schemas.

    Raises SpecError when it is neither, or holds none.
    """
    if source.is_dir():
        messages = read_folder(source)
        if not messages:
            raise SpecError(f"{source}:1: the folder has no *.json")
        return messages
    files = _files_of(source)
    if not files:
        raise SpecError(f"{source}:1: the archive has no {JAR_FOLDER}*.json")
    return [parse_message(decode(raw, name), name) for name, raw in files]


def _files_of(jar: Path) -> list[tuple[str, bytes]]:
    """The schemas in a jar by the name that errors show, in name order."""
    try:
        with zipfile.ZipFile(jar) as archive:
            names = sorted(n for n in archive.namelist() if n.startswith(JAR_FOLDER) and n.endswith(".json"))
            return [(f"{jar.name}!{name}", archive.read(name)) for name in names]
    except OSError as error:
        raise SpecError(f"{jar}:1: cannot be read: {error.strerror}") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
    ) as error:  # the last: encrypted, or packed unusually
        raise SpecError(f"{jar}:1: no jar that can be read: {error}") from None


# ---- merging ---------------------------------------------------------------------------------------------------------


def merge(old: Message, new: Message) -> Message:
    """One message that holds every version of both; where both have a version, ``new`` decides."""
    if not new.valid:
        # The release dropped the API altogether: the older one is all there is.
        return old
    both = Message(
        name=new.name,
        type=new.type,
        api_key=new.api_key,
        valid=_union(old.valid, new.valid, new),
        flexible=new.flexible,
        fields=[],
        common=[],
        deprecated=_union(old.deprecated, new.deprecated, new) if old.deprecated and new.deprecated else new.deprecated,
        listeners=new.listeners,
        latest_unstable=new.latest_unstable,
        source=new.source,
        line=new.line,
    )
    common_names = {struct.name for struct in old.common} | {struct.name for struct in new.common}
    old_structs, new_structs = dict(old.structs()), dict(new.structs())
    merger = _Merger(old, new, both.valid)
    both.fields = merger.fields(old.fields, new.fields)
    for name in sorted(common_names):
        newer = next((s for s in new.common if s.name == name), None)
        older = next((s for s in old.common if s.name == name), None)
        basis = newer or older
        if basis is None or (newer is None and name in new_structs):
            continue
        fields = merger.fields(old_structs.get(name, []), newer.fields if newer else [])
        both.common.append(Struct(name, merger.versions(basis.versions, basis.versions), fields))
    _prove(both, old, Versions(old.valid.low, min(old.valid.high, new.valid.low - 1)))
    _prove(both, new, new.valid)
    return both


def _union(a: Versions, b: Versions, where: Message) -> Versions:
    if a and b and (a.high + 1 < b.low or b.high + 1 < a.low):
        raise SpecError(f"{where.source}:{where.line}: versions {a} and {b} of {where.name} leave a hole")
    return Versions(min(a.low, b.low), max(a.high, b.high))


class _Merger:
    """Merges field lists of two releases of one message."""

    def __init__(self, old: Message, new: Message, valid: Versions) -> None:
        self.old, self.new, self.valid = old, new, valid

    def versions(self, old: Versions, new: Versions) -> Versions:
        """Each version's answer comes from the newest release that has the version; the result must be one run."""
        chosen = [v for v in self.valid if v in (new if v in self.new.valid else old)]
        if not chosen:
            return NONE
        if chosen != list(range(chosen[0], chosen[-1] + 1)):
            raise SpecError(f"{self.new.source}:1: {self.new.name}: merged versions {chosen} are not one run")
        open_ended = chosen[-1] == self.valid.high and (new or old).high == OPEN
        return Versions(chosen[0], OPEN if open_ended else chosen[-1])

    def fields(self, old: list[Field], new: list[Field]) -> list[Field]:
        """Keeps new's order; a field that only old has follows its predecessor in old."""
        olds = {item.name: item for item in old}
        result = [self.field(olds.get(item.name), item) for item in new]
        previous: str | None = None
        for item in old:
            if all(item.name != kept.name for kept in new):
                only = self.field(item, None)
                if only.versions:
                    index = next((i + 1 for i, kept in enumerate(result) if kept.name == previous), 0)
                    result.insert(index, only)
            previous = item.name
        return result

    def field(self, old: Field | None, new: Field | None) -> Field:
        basis = new or old
        assert basis is not None
        if old and new and old.type != new.type and not (old.is_struct and new.is_struct):
            raise SpecError(f"{self.new.source}:{new.line}: {new.name} changed its type from {old.type} to {new.type}")
        return Field(
            name=basis.name,
            type=basis.type,
            versions=self.versions(old.versions if old else NONE, new.versions if new else NONE),
            nullable=self.versions(old.nullable if old else NONE, new.nullable if new else NONE),
            tagged=self.versions(old.tagged if old else NONE, new.tagged if new else NONE),
            tag=basis.tag,
            default=basis.default,
            ignorable=basis.ignorable,
            map_key=basis.map_key,
            entity_type=basis.entity_type,
            zero_copy=basis.zero_copy,
            flexible=basis.flexible,
            fields=self.fields(self.inner(self.old, old), self.inner(self.new, new)) if basis.fields else [],
            line=basis.line,
        )

    def inner(self, message: Message, item: Field | None) -> list[Field]:
        """Fields of the struct that ``item`` holds, whether it is defined inline or in commonStructs."""
        if item is None or not item.is_struct:
            return []
        return item.fields or message.fields_of(item.element_type)


Shape = tuple[object, ...]


def project(message: Message, fields: list[Field], version: int) -> list[Shape]:
    """What ``fields`` mean in one version: the facts that decide bytes and defaults, without version ranges."""
    shapes: list[Shape] = []
    for item in fields:
        if version not in item.versions:
            continue
        inner = item.fields or (message.fields_of(item.element_type) if item.is_struct else [])
        shapes.append(
            (
                item.name,
                "[]struct" if item.is_array and item.is_struct else "struct" if item.is_struct else item.type,
                version in item.nullable,
                item.tag if version in item.tagged else None,
                tuple(project(message, inner, version)),
            )
        )
    return shapes


def _prove(merged: Message, source: Message, versions: Iterable[int]) -> None:
    for version in versions:
        ours, theirs = project(merged, merged.fields, version), project(source, source.fields, version)
        flexible = version in merged.flexible, version in source.flexible
        if ours != theirs or flexible[0] != flexible[1]:
            raise SpecError(f"{source.source}:1: merging changed {source.name} v{version}: {theirs} became {ours}")


# ---- our texts -------------------------------------------------------------------------------------------------------


def _abouts(message: Message) -> dict[str, str]:
    """Our texts of one message by path; a struct's fields are found under ``Struct.Field``."""
    texts = {"": message.about} if message.about else {}
    for owner, fields in [("", message.fields), *message.structs()]:
        for item in fields:
            if item.about:
                texts[f"{owner}.{item.name}"] = item.about
    return texts


def _adopt_abouts(message: Message, texts: dict[str, str]) -> None:
    message.about = texts.get("")
    for owner, fields in [("", message.fields), *message.structs()]:
        for item in fields:
            item.about = texts.get(f"{owner}.{item.name}")


# ---- writing ---------------------------------------------------------------------------------------------------------


def serialise(message: Message) -> str:
    """A message in the schema language: facts of a field in one line, its ``about`` in the next."""
    head: list[tuple[str, object]] = []
    if message.api_key is not None:
        head.append(("apiKey", message.api_key))
    head += [("type", message.type), ("name", message.name)]
    if message.about is not None:
        head.append(("about", message.about))
    if message.listeners:
        head.append(("listeners", message.listeners))
    head.append(("validVersions", str(message.valid)))
    if message.deprecated:
        head.append(("deprecatedVersions", str(message.deprecated)))
    head.append(("flexibleVersions", str(message.flexible)))
    if message.latest_unstable:
        head.append(("latestVersionUnstable", True))
    lines = [f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in head]
    if message.common:
        lines.append('  "commonStructs": [\n' + ",\n".join(_struct_text(s) for s in message.common) + "\n  ]")
    lines.append('  "fields": [' + _fields_text(message.fields, 4) + ("\n  ]" if message.fields else "]"))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _struct_text(struct: Struct) -> str:
    head = f'    {{ "name": {json.dumps(struct.name)}, "versions": "{struct.versions}", "fields": ['
    return head + _fields_text(struct.fields, 6) + "\n    ]}"


def _fields_text(fields: list[Field], indent: int) -> str:
    return "".join(
        ("," if i else "") + "\n" + " " * indent + _field_text(item, indent) for i, item in enumerate(fields)
    )


def _field_text(item: Field, indent: int) -> str:
    facts: list[tuple[str, object]] = [("name", item.name), ("type", item.type), ("versions", str(item.versions))]
    optional: list[tuple[str, object, bool]] = [
        ("nullableVersions", str(item.nullable), bool(item.nullable)),
        ("taggedVersions", str(item.tagged), bool(item.tagged)),
        ("tag", item.tag, item.tag is not None),
        ("flexibleVersions", str(item.flexible), item.flexible is not None),
        ("default", item.default, item.default is not None),
        ("ignorable", True, item.ignorable),
        ("mapKey", True, item.map_key),
        ("zeroCopy", True, item.zero_copy),
        ("entityType", item.entity_type, item.entity_type is not None),
    ]
    facts += [(key, value) for key, value, present in optional if present]
    text = "{ " + ", ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in facts)
    pad = "\n" + " " * (indent + 2)
    if item.about is not None:
        text += f',{pad}"about": {json.dumps(item.about, ensure_ascii=False)}'
    if item.fields:
        text += f',{pad}"fields": [' + _fields_text(item.fields, indent + 4) + pad + "]"
    return text + " }"
