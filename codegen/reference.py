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
    pages["README.md"] = index.render(apis=apis, others=others, states=_states(apis, messages))
    return pages


def _states(apis: list[Api], messages: dict[str, Message]) -> list[dict[str, Any]]:
    """A row for each API that Kafka has, with a cell for each version that Kafka ever had."""
    served = {api.key: api for api in apis}
    requests = {message.api_key: message for message in messages.values() if message.type == "request"}
    width = max(request.valid.high for request in requests.values()) + 1
    rows: list[dict[str, Any]] = []
    for key, request in sorted((key, request) for key, request in requests.items() if key is not None):
        api = served.get(key)
        cells = [_cell(api, version) if version in request.valid else "" for version in range(width)]
        name = request.name.removesuffix("Request")
        rows.append({"key": key, "name": name, "api": api, "cells": cells, "state": _state(api, request)})
    return rows


def _cell(api: Api | None, version: int) -> str:
    if api is None or version not in api.versions:
        return "-"
    return "R" if api.refuses else "S"


def _state(api: Api | None, request: Message) -> str:
    if api is not None:
        return f"refused: {api.refuses}" if api.refuses else "served"
    return "not served" if "broker" in request.listeners else "between Kafka's own servers"


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
