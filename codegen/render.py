"""Owns: how a layout is written in Python - names, types, defaults, and the templates' context.

Must never know: how specs are parsed, where files go.
"""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from codegen.abouts import in_python
from codegen.layout import Array, Blob, Layout, Nested, Run, diagram, distinct, snake
from codegen.nodes import SpecError
from codegen.spec import Field, Message
from codegen.versions import Versions

TEMPLATES = Path(__file__).with_name("templates")
WIDTH = 120

WIRE_NAMES = (
    "BYTE",
    "INT16",
    "INT32",
    "INT32S",
    "PACK_INT32S",
    "ZERO_UUID",
    "Buffer",
    "Chunk",
    "Codec",
    "EncodeError",
    "Fault",
    "Message",
    "Uuid",
    "Versions",
    "array_struct",
    "check_count",
    "check_tag",
    "int32s",
    "long_count",
    "long_length",
    "pack_int32s",
    "read_unknown_tags",
    "read_uvarint",
    "string_length",
    "string_size",
    "tagged_fields",
    "uvarint",
)
"""What generated modules may import from ``wire``."""

_CODES = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}
_LETTERS = _CODES | {"bool": "t", "uuid": "u"}
"""A struct code as it may stand in a Python name."""

_TYPES = {
    "bool": "bool",
    "int8": "int",
    "int16": "int",
    "uint16": "int",
    "int32": "int",
    "uint32": "int",
    "int64": "int",
    "float64": "float",
    "string": "str",
    "bytes": "bytes",
    "records": "Chunk",
    "uuid": "Uuid",
}


CLASS_ATTRIBUTES = frozenset({"name", "api_key", "min_version", "max_version", "codec"})
"""What every message class has; a message whose own field is called so (DefaultPrincipalData.Name) gets ``name_``."""


def attribute(name: str) -> str:
    """Python attribute of a schema field."""
    text = snake(name)
    return text + "_" if keyword.iskeyword(text) else text


def environment() -> jinja2.Environment:
    """The jinja2 environment; an undefined name in a template is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is Python, not HTML
    )


# ---- one message -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Structs:
    """The precompiled structs that a module uses, by the name of their accessor."""

    unpackers: dict[str, str] = field(default_factory=dict)
    packers: dict[str, str] = field(default_factory=dict)

    def get(self, letters: str, codes: str) -> str:
        return self.unpackers.setdefault(letters, codes) and f"_get_{letters}"

    def put(self, letters: str, codes: str) -> str:
        return self.packers.setdefault(letters, codes) and f"_put_{letters}"

    def render(self) -> str:
        lines = [f'_get_{name} = Struct(">{codes}").unpack_from' for name, codes in sorted(self.unpackers.items())]
        lines += [f'_put_{name} = Struct(">{codes}").pack' for name, codes in sorted(self.packers.items())]
        return "\n".join(lines)


class Scope:
    """Variable names of one function: each is used for one thing."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.tag_depth = 0

    def var(self, wish: str) -> str:
        name, number = wish, 2
        while name in self.taken or keyword.iskeyword(name):
            name, number = f"{wish}_{number}", number + 1
        self.taken.add(name)
        return name

    def depth(self) -> int:
        self.tag_depth += 1
        return self.tag_depth


class Facts:
    """What the templates ask about one message."""

    def __init__(self, message: Message, class_names: dict[str, str], structs: Structs) -> None:
        self.message = message
        self.class_names = class_names
        self.structs = structs
        self.fields = {
            owner: {item.name: item for item in fields}
            for owner, fields in [(message.name, message.fields), *message.structs()]
        }
        self.has_tags = bool(message.flexible & message.valid)
        self.clashes = CLASS_ATTRIBUTES & {attribute(item.name) for item in message.fields}

    def attr(self, name: str) -> str:
        """Python attribute of a field of this message or of its structs."""
        text = attribute(name)
        return text + "_" if text in self.clashes else text

    def cls(self, struct: str) -> str:
        return self.class_names[struct]

    def struct_var(self, struct: str) -> str:
        return snake(struct)

    def code(self, element: str) -> str:
        return _CODES[element]

    def get(self, letters: str) -> str:
        return self.structs.get(letters, letters)

    def put(self, letters: str) -> str:
        return self.structs.put(letters, letters)

    # ---- runs

    def unpack_line(self, t: str, run: Run) -> str:
        targets = [f"{t}.{self.attr(item.field)}" for item in run.fields]
        letters = "".join(_LETTERS[item.type] for item in run.fields)
        call = self.structs.get(letters, "".join(_CODES[item.type] for item in run.fields)) + "(buf, pos)"
        if len(targets) == 1:
            return f"({targets[0]},) = {call}"
        line = f"{', '.join(targets)} = {call}"
        if len(line) <= WIDTH - 24:
            return line
        return "(\n" + "".join(f"    {target},\n" for target in targets) + f") = {call}"

    def pack_line(self, out: str, t: str, run: Run) -> str:
        values = [f"{t}.{self.attr(item.field)}" for item in run.fields]
        letters = "".join(_LETTERS[item.type] for item in run.fields)
        call = self.structs.put(letters, "".join(_CODES[item.type] for item in run.fields))
        line = f"{out}.append({call}({', '.join(values)}))"
        if len(line) <= WIDTH - 24:
            return line
        return f"{out}.append(\n    {call}(\n" + "".join(f"        {value},\n" for value in values) + "    )\n)"

    # ---- blobs

    def blob_value(self, op: Blob) -> str:
        if op.type == "string":
            return "buf[pos:end].decode()"
        return "view[pos:end]" if op.zero_copy else "bytes(buf[pos:end])"

    def element_blob(self, op: Array) -> Blob:
        """One string of an array of strings."""
        return Blob(op.field, "string", op.compact, nullable=False, zero_copy=False)

    def null_length(self, op: Blob | Array | Nested) -> str:
        if isinstance(op, Nested):
            return 'b"\\xff"'
        if op.compact:
            return 'b"\\0"'
        return 'b"\\xff\\xff"' if isinstance(op, Blob) and op.type == "string" else 'b"\\xff\\xff\\xff\\xff"'

    # ---- defaults

    def field(self, struct: str, name: str) -> Field:
        return self.fields[struct][name]

    def ignorable(self, struct: str, name: str) -> bool:
        return self.field(struct, name).ignorable

    def default(self, struct: str, name: str) -> str:
        """Expression for the default of a field."""
        item = self.field(struct, name)
        if item.default == "null":
            return "None"
        if item.is_array:
            return "[]"
        if item.is_struct:
            return "None" if self.optional_struct(item) else f"{self.cls(item.element_type)}()"
        return self.primitive_default(item)

    def optional_struct(self, item: Field) -> bool:
        """A struct in a tag is left out when all its fields have their defaults; here None says so, which spares three
        objects for each partition of a fetch response."""
        return bool(item.tagged) and item.is_struct and not item.is_array

    def null_default(self, struct: str, name: str) -> bool:
        return self.default(struct, name) == "None"

    def optional(self, struct: str, name: str) -> bool:
        return self.annotation(self.field(struct, name)).endswith("| None")

    def primitive_default(self, item: Field) -> str:
        text = item.default
        match item.type:
            case "string":
                return quote(text or "")
            case "bytes" | "records":
                return 'b""'
            case "uuid":
                return "ZERO_UUID"
            case "bool":
                return "True" if text == "true" else "False"
            case "float64":
                return repr(float(text or "0.0"))
        try:
            return str(int(text or "0", 0))
        except ValueError:
            raise SpecError(
                f"{self.message.source}:{item.line}: field {item.name}: default {text!r} is no {item.type}"
            ) from None

    def is_set(self, struct: str, name: str, t: str) -> str:
        """Condition that holds when a field differs from its default."""
        item = self.field(struct, name)
        value, default = f"{t}.{self.attr(name)}", self.default(struct, name)
        if default == "None" and not self.optional_struct(item):
            return f"{value} is not None"
        if item.is_struct and not item.is_array:
            # Field by field, because building a default struct to compare with would cost more than the encoding.
            inner = [self.is_set(item.element_type, other, value) for other in self.fields[item.element_type]]
            if self.has_tags:
                inner.append(f"{value}.unknown_tagged_fields")
            condition = " or ".join(inner)
            return f"{value} is not None and ({condition})" if self.optional_struct(item) else condition
        if default in {"[]", '""', 'b""', "0", "False", "0.0"} and not item.nullable:
            return value
        if default in {"[]", 'b""'}:
            # A null array is a value of its own where the default is the empty one.
            return f"{value} is None or len({value})"
        return f"{value} != {default}"

    def any_tag_set(self, layout: Layout, t: str) -> str:
        """Condition that holds when a struct has anything to write into its tagged-field section."""
        conditions = [self.is_set(layout.struct, tagged.field, t) for tagged in layout.tags]
        return " or ".join([*conditions, f"{t}.unknown_tagged_fields"])

    def wrap(self, condition: str) -> str:
        """A long condition in brackets, one term a line."""
        if len(condition) <= WIDTH - 40:
            return condition
        lines = condition.replace(" or ", "\nor ").replace(" and (", "\nand (").split("\n")
        return "(\n    " + "\n    ".join(lines) + "\n)"

    def annotation(self, item: Field) -> str:
        element = self.cls(item.element_type) if item.is_struct else _TYPES[item.element_type]
        if item.zero_copy:
            element = "Chunk"
        text = f"list[{element}]" if item.is_array else element
        optional = item.nullable or item.default == "null" or self.optional_struct(item)
        return f"{text} | None" if optional else text

    def dataclass_default(self, struct: str, item: Field) -> str:
        expression = self.default(struct, item.name)
        if expression == "[]":
            return "field(default_factory=list)"
        if expression.endswith("()"):
            return f"field(default_factory=lambda: {expression})"
        return expression


def quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---- one module ------------------------------------------------------------------------------------------------------


def module_name(messages: list[Message]) -> str:
    """Module of an API, or of a message that stands alone."""
    name = messages[0].name
    if messages[0].type in {"request", "response"}:
        name = name.removesuffix("Request").removesuffix("Response")
    return snake(name)


def class_names(messages: list[Message]) -> dict[str, dict[str, str]]:
    """Class of each struct, per message; a struct name that both messages use is prefixed with its message's name."""
    uses: dict[str, int] = {}
    for message in messages:
        for name in [message.name, *dict(message.structs())]:
            uses[name] = uses.get(name, 0) + 1
    return {
        message.name: {
            name: name if uses[name] == 1 else f"{message.name}{name}"
            for name in [message.name, *dict(message.structs())]
        }
        for message in messages
    }


def render_module(env: jinja2.Environment, messages: list[Message], doc: str) -> str:
    """Python source of the module that holds ``messages`` (an API's request and response, or one message)."""
    names = class_names(messages)
    structs = Structs()
    ops = env.get_template("ops.j2").module
    classes: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for message in messages:
        facts = Facts(message, names[message.name], structs)
        classes += _classes(message, facts)
        groups.append(_group(ops, message, facts))
    source: str = env.get_template("message.j2").render(
        doc=doc,
        sources=" and ".join(f"specs/messages/{message.name}.json" for message in messages),
        exports=sorted(cls["name"] for cls in classes),
        classes=classes,
        groups=groups,
        structs=structs.render(),
        uses_field=any("field(" in item["default"] for cls in classes for item in cls["fields"]),
        imports=["@imports@"],
    )
    names_used = set(re.findall(r"\w+", source))
    return source.replace("    @imports@,", "\n".join(f"    {name}," for name in WIRE_NAMES if name in names_used))


def _classes(message: Message, facts: Facts) -> list[dict[str, Any]]:
    found = []
    for owner, fields in [(message.name, message.fields), *message.structs()]:
        found.append(
            {
                "name": facts.cls(owner),
                "message": message if owner == message.name else None,
                "doc": _class_doc(message, owner, fields),
                "flexible": facts.has_tags,
                "fields": [
                    {
                        "name": facts.attr(item.name),
                        "type": facts.annotation(item),
                        "default": facts.dataclass_default(owner, item),
                        "doc": _field_doc(message, item),
                    }
                    for item in fields
                ],
            }
        )
    return found


def _class_doc(message: Message, owner: str, fields: list[Field]) -> str:
    if owner == message.name:
        text = in_python(message.about) if message.about else f"{message.name}."
        flexible = message.flexible & message.valid
        return _wrap(f"{text} Versions {message.valid}, flexible: {flexible}.", 4)
    holder = next((item for item in _all_fields(message) if item.is_struct and item.element_type == owner), None)
    if holder is None or not holder.about:
        return f"Part of {message.name}."
    return _wrap(in_python(holder.about), 4)


def _field_doc(message: Message, item: Field) -> str:
    """Versions first, then our text: ``v5+: ...``; versions are left out where the field is always there."""
    within = item.versions & message.valid
    notes = []
    if within != message.valid:
        notes.append(f"v{item.versions}")
    if item.tagged:
        notes.append(f"tag {item.tag}")
    if item.nullable and not item.nullable.covers(within):
        notes.append(f"null in v{item.nullable}")
    unit = f"{', '.join(notes)}: " if notes else ""
    return _wrap(unit + (in_python(item.about) if item.about else f"{item.type}."), 4)


def _all_fields(message: Message) -> list[Field]:
    return [item for _, fields in [("", message.fields), *message.structs()] for item in fields]


def _wrap(text: str, indent: int) -> str:
    lines = textwrap.wrap(text, WIDTH - indent - 6, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines).replace("\\", "\\\\").replace('"""', "'''")


def _group(ops: Any, message: Message, facts: Facts) -> dict[str, Any]:
    """Functions and tables of one message."""
    layouts = []
    tables: dict[int, str] = {}
    stem = snake(message.name)
    var = "message"
    for versions, layout in distinct(message):
        suffix = f"v{versions[0]}"
        tables |= dict.fromkeys(versions, suffix)
        layouts.append(
            {
                "decoder": f"_decode_{stem}_{suffix}",
                "encoder": f"_encode_{stem}_{suffix}",
                "diagram_name": f"_{stem.upper()}_{suffix.upper()}",
                "diagram": diagram(layout),
                "versions": _versions_text(message, versions),
                "decode": _code(ops.decode_struct(layout, var, _scope(var), facts)),
                "encode": _code(ops.encode_struct(layout, var, "out", _scope(var), facts)),
            }
        )
    flexible = message.flexible & message.valid
    return {
        "cls": facts.cls(message.name),
        "var": var,
        "layouts": layouts,
        "first": message.valid.low,
        "last": message.valid.high,
        "flexible_from": flexible.low if flexible else None,
        "decoders": [f"_decode_{stem}_{tables[v]}" for v in message.valid],
        "encoders": [f"_encode_{stem}_{tables[v]}" for v in message.valid],
        "diagrams": [f"_{stem.upper()}_{tables[v].upper()}" for v in message.valid],
    }


def _scope(var: str) -> Scope:
    """A fresh scope without the names that templates use themselves."""
    return Scope({var, "n", "pos", "end", "buf", "out", "new", "size", "text", "encoded", "view", "field", *WIRE_NAMES})


def _code(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _versions_text(message: Message, versions: list[int]) -> str:
    runs: list[Versions] = []
    for version in versions:
        if runs and runs[-1].high + 1 == version:
            runs[-1] = Versions(runs[-1].low, version)
        else:
            runs.append(Versions(version, version))
    return f"{message.name} v" + ", v".join(str(run) for run in runs)
