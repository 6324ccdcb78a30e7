"""Writes web/openapi.json, reference.html and client-types.d.ts from docs/openapi.yaml.

They are committed, so that a server needs neither PyYAML nor time to make them: a test holds them
to the document.

Usage: python -m tools.openapi
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "openapi.yaml"
JSON = ROOT / "web" / "openapi.json"
PAGE = ROOT / "web" / "reference.html"
TYPES = ROOT / "web" / "client-types.d.ts"

Node = Mapping[str, Any]


def read() -> dict[str, Any]:
    """Return the document."""
    document: dict[str, Any] = yaml.load(DOCUMENT.read_bytes(), yaml.CSafeLoader)
    return document


def as_json(document: Node) -> str:
    """Return web/openapi.json."""
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def resolved(document: Node, node: Node) -> Node:
    """Return what *node* refers to, or itself."""
    if "$ref" not in node:
        return node
    target: Any = document
    for part in node["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    return resolved(document, target)


# The page: a line an element, so that two changes of the document merge.


def as_page(document: Node) -> str:
    """Return web/reference.html."""
    return "\n".join(_page(document)) + "\n"


def _page(document: Node) -> Iterator[str]:
    info, schemas = document["info"], document["components"]["schemas"]
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    yield from (
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta name="description" content="The HTTP API of {html.escape(info["title"])}.">',
        f"<title>API · {html.escape(info['title'])}</title>",
        '<link rel="icon" href="favicon.svg" type="image/svg+xml">',
        '<link rel="stylesheet" href="reference.css">',
        "</head>",
        "<body>",
        "<!-- Written by `make openapi` from docs/openapi.yaml -->",
        "<header>",
        '<p><a href="./">imagesearch</a></p>',
        f"<h1>The API, version {html.escape(info['version'])}</h1>",
        f"<p>{_text(info['description'])}</p>",
        '<p><a href="openapi.json">openapi.json</a> says the same for programs.</p>',
        "</header>",
        '<nav aria-label="On this page">',
        "<ul>",
    )
    for method, path, operation in operations:
        yield f'<li><a href="#{operation["operationId"]}">{_call(method, path)}</a></li>'
    for name in schemas:
        yield f'<li><a href="#{name}">{name}</a></li>'
    yield from ("</ul>", "</nav>", "<main>")
    for method, path, operation in operations:
        yield from _operation(document, method, path, operation)
    yield "<h2>What is in an answer</h2>"
    for name, schema in schemas.items():
        yield from _schema(name, schema)
    yield from ("</main>", "</body>", "</html>")


def _call(method: str, path: str) -> str:
    return f"<code>{method.upper()} {html.escape(path)}</code>"


def _operation(document: Node, method: str, path: str, operation: Node) -> Iterator[str]:
    name = operation["operationId"]
    yield f'<section id="{name}" aria-labelledby="{name}-title">'
    yield f'<h2 id="{name}-title">{_call(method, path)}</h2>'
    yield f"<p>{_text(operation['summary'])} {_text(operation.get('description', ''))}</p>"
    call = f"{method.upper()} {path}"
    if parameters := operation.get("parameters"):
        rows = [
            (
                f"<code>{each['name']}</code>{_required(each.get('required', False))}",
                _kind(each["schema"]),
                _text(each["description"]),
            )
            for each in parameters
        ]
        yield from _table(f"Parameters of {call}", ("name", "values", "meaning"), rows)
    if "requestBody" in operation:
        for media_type, content in operation["requestBody"]["content"].items():
            yield f"<p>Body as <code>{media_type}</code>: {_kind(content['schema'])}.</p>"
    yield from _answers(document, call, operation["responses"])
    yield "</section>"


def _answers(document: Node, call: str, responses: Node) -> Iterator[str]:
    rows, examples = [], []
    for status, reference in responses.items():
        response = resolved(document, reference)
        headers = "".join(
            f"<p><code>{name}</code>: {_text(resolved(document, header)['description'])}</p>"
            for name, header in response.get("headers", {}).items()
        )
        content = response["content"]["application/json"]
        meaning = f"<p>{_text(response['description'])}</p>{headers}"
        rows.append((f"<code>{status}</code>", _kind(content["schema"]), meaning))
        if status.startswith("2") and "example" in content:
            examples.append((status, content["example"]))
    yield from _table(f"Answers to {call}", ("status", "body", "meaning"), rows)
    for status, example in examples:
        shown = html.escape(json.dumps(example, ensure_ascii=False, indent=2))
        yield f"<details><summary>Example of {status}</summary>"
        yield f'<pre tabindex="0"><code>{shown}</code></pre>'
        yield "</details>"


def _schema(name: str, schema: Node) -> Iterator[str]:
    yield f'<section id="{name}" aria-labelledby="{name}-title">'
    yield f'<h3 id="{name}-title">{name}</h3>'
    required = schema["required"] if "additionalProperties" not in schema else schema["properties"]
    rows = [
        (
            f"<code>{field}</code>" + ("" if field in required else " <em>may lack</em>"),
            _kind(each),
            _text(each.get("description", "")),
        )
        for field, each in schema["properties"].items()
    ]
    yield from _table(f"Fields of {name}", ("field", "values", "meaning"), rows)
    yield "</section>"


def _table(
    caption: str, heads: tuple[str, str, str], rows: list[tuple[str, str, str]]
) -> Iterator[str]:
    yield f'<div class="table" role="region" aria-label="{caption}" tabindex="0">'
    yield f"<table><caption>{caption}</caption>"
    yield "<thead><tr>"
    for head in heads:
        yield f'<th scope="col">{head}</th>'
    yield "</tr></thead>"
    yield "<tbody>"
    for name, kind, meaning in rows:
        yield f'<tr><th scope="row">{name}</th><td>{kind}</td><td>{meaning}</td></tr>'
    yield from ("</tbody>", "</table>", "</div>")


def _required(is_required: bool) -> str:
    return " <em>required</em>" if is_required else ""


def _kind(schema: Node) -> str:
    """Return in words what values *schema* admits."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_kind, schema["anyOf"]))
    if "const" in schema:
        return f"<code>{html.escape(str(schema['const']))}</code>"
    if "enum" in schema:
        kind = ", ".join(f"<code>{html.escape(str(value))}</code>" for value in schema["enum"])
    elif schema.get("type") == "array":
        kind = f"list of {_kind(schema['items'])}"
    elif schema.get("type") == "object" and "properties" in schema:
        kind = ", ".join(
            f"<code>{name}</code> ({_kind(each)})" for name, each in schema["properties"].items()
        )
    else:
        types = schema.get("type", "any")
        kind = html.escape(" or ".join([types] if isinstance(types, str) else types))
    return kind + _bounds(schema)


def _bounds(schema: Node) -> str:
    bounds = [
        _range(schema.get(least), schema.get(most)) + unit
        for least, most, unit in (
            ("minimum", "maximum", ""),
            ("minLength", "maxLength", " characters"),
            ("minItems", "maxItems", " items"),
        )
        if least in schema or most in schema
    ]
    if "pattern" in schema:
        bounds.append(f"<code>{html.escape(schema['pattern'])}</code>")
    if "default" in schema:
        bounds.append(f"else <code>{html.escape(json.dumps(schema['default']))}</code>")
    return "".join(f", {bound}" for bound in bounds)


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return f"up to {most}"
    return f"{least} or more" if most is None else f"{least} to {most}"


def _text(markdown: str) -> str:
    """Return the HTML of a description, which has `code` and links, and no other markup."""
    escaped = html.escape(markdown.strip(), quote=False)
    with_code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\[([^]]+)\]\(([^)\s]+)\)", r'<a href="\2">\1</a>', with_code)


def as_types(document: Node) -> str:
    """Return web/client-types.d.ts: what web/client.js takes and returns, in TypeScript."""
    schemas = dict(document["components"]["schemas"])
    search = schemas.pop("SearchForm")
    fields = {name: each for name, each in search["properties"].items() if name != "wait"}
    schemas["Search"] = {"properties": fields}
    lines = ["// Written by `make openapi` from docs/openapi.yaml"]
    for name, schema in schemas.items():
        lines += ["", f"export interface {name} {{", *_members(schema), "}"]
    return "\n".join(lines) + "\n"


def _members(schema: Node) -> Iterator[str]:
    for name, each in schema["properties"].items():
        if description := each.get("description"):
            yield f"  /** {description.strip()} */"
        optional = "" if name in schema.get("required", ()) else "?"
        yield f"  {name}{optional}: {_type(each)};"


_TYPES = {"integer": "number", "object": "object"}  # others have the same name


def _type(schema: Node) -> str:
    """Return the TypeScript of what *schema* admits."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if "contentMediaType" in schema:
        return "Blob"
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(each) for each in schema.get("enum") or [schema["const"]])
    kind = schema["type"]
    if kind == "array":
        items = _type(schema["items"])
        return f"({items})[]" if " " in items else f"{items}[]"
    if kind == "object" and "properties" in schema:
        return f"{{ {' '.join(line.strip() for line in _members(schema))} }}"
    if kind == "object":
        return f"Record<string, {_type(schema['additionalProperties'])}>"
    return " | ".join(
        _TYPES.get(each, each) for each in ([kind] if isinstance(kind, str) else kind)
    )


def main() -> None:
    """Write the files."""
    document = read()
    JSON.write_text(as_json(document), encoding="utf-8")
    PAGE.write_text(as_page(document), encoding="utf-8")
    TYPES.write_text(as_types(document), encoding="utf-8")


if __name__ == "__main__":
    main()
