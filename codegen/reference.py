"""Owns: the protocol reference in Markdown, rendered from the same specs and layouts as the codecs.

Must never know: Python code generation, files on disk.
"""

from __future__ import annotations

from typing import Any

import jinja2

from codegen.abouts import in_python
from codegen.apis import Api
from codegen.layout import diagram, plan, snake
from codegen.spec import Field, Message


def render_reference(
    env: jinja2.Environment, apis: list[Api], messages: dict[str, Message], modules: list[tuple[str, str]]
) -> dict[str, str]:
    """Markdown pages by file name: one per served API, and an index."""
    pages = {}
    page, index = env.get_template("reference.j2"), env.get_template("reference_index.j2")
    for api in apis:
        both = [messages[api.name + kind] for kind in ("Request", "Response")]
        pages[f"{api.slot}.md"] = page.render(api=api, messages=[_message(item, api) for item in both])
    served = {api.name + kind for api in apis for kind in ("Request", "Response")}
    others = [(name, module) for name, module in modules if name not in served]
    pages["README.md"] = index.render(apis=apis, others=others)
    return pages


def _message(message: Message, api: Api) -> dict[str, Any]:
    return {
        "name": message.name,
        "about": in_python(message.about or ""),
        "structs": _rows(message, message.fields, 0),
        "version": api.versions.high,
        "diagram": diagram(plan(message, api.versions.high)),
    }


def _rows(message: Message, fields: list[Field], depth: int) -> list[dict[str, str]]:
    rows = []
    for item in fields:
        type_ = item.type + ("?" if item.nullable else "") + (f", tag {item.tag}" if item.tag is not None else "")
        rows.append(
            {
                "indent": "· " * depth,
                "name": snake(item.name),
                "type": type_,
                "versions": str(item.versions & message.valid),
                "about": in_python(item.about or ""),
            }
        )
        if item.is_struct:
            inner = item.fields or message.fields_of(item.element_type)
            rows += _rows(message, inner, depth + 1)
    return rows
