"""The description of the API, OpenAPI 3.1, made from the table of operations and the types that they name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from comity.server.bodies import AGENT_NAME
from comity.server.operation import ROOT, Nothing, Operation
from comity.server.problem import BY_CODE, MEDIA_TYPE, Problem

PATH = f"{ROOT}/openapi.json"
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_NAME = {"type": "string", "pattern": f"^{AGENT_NAME}$"}
_WORD = "[A-Za-z0-9._-]+"
_TASK = "task:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SCOPE = rf"^(fleet|(agent:({_WORD}/)?|session:|tenant:){_WORD}|{_TASK})$"
_PARAMETERS: dict[str, dict[str, Any]] = {
    "task": {"type": "string", "format": "uuid"},
    "call": {"type": "integer", "minimum": 1, "maximum": 2**53},
    "agent": _NAME,
    "session": _NAME,
    "tool": _NAME,
    "scope": {"type": "string", "pattern": _SCOPE},
    "claim": _NAME,
    "detector": {"type": "string", "pattern": "^[a-z_]{1,40}$"},
}
SHARED: dict[int, set[str]] = {
    401: {"no_token", "unknown_token", "expired_token", "old_incarnation"},
    403: {"foreign_host", "foreign_origin", "not_yours"},
    500: {"bug"},
    503: {"store_unreachable"},
}
"""Codes of errors that nearly every operation has."""
_STATUS = {code: status for status, codes in SHARED.items() for code in codes}
Document = dict[str, Any]


def description(operations: Iterable[Operation]) -> Document:
    """Return the document."""
    operations = list(operations)
    kinds: dict[Any, None] = {Problem: None}
    for operation in operations:
        kinds |= dict.fromkeys(kind for kind in (operation.gives, operation.takes, operation.query) if kind is not None)
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, Document] = {}
    for operation in operations:
        path = _PARAMETER.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, components)
    queries = {operation.query.__name__ for operation in operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Comity",
            "version": "1",
            "summary": "The API of a node: tasks, sessions, questions, agents, tools, stops and the shared world.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name not in queries},
            "responses": {str(status): _problem(status, codes) for status, codes in SHARED.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An operator's token, `co_…`."}
            },
        },
        "security": [{"token": []}],
    }


def described(operations: Iterable[Operation]) -> bytes:
    """Return the document as it is served and kept."""
    return msgspec.json.format(msgspec.json.encode(description(operations)), indent=2) + b"\n"


def route_of(operations: Iterable[Operation]) -> Route:
    """Return the route of the document, which everybody may read."""
    data = described(operations)

    async def serve(_request: Request) -> Response:
        return Response(data, media_type="application/json")

    return Route(PATH, serve, methods=["GET"])


def _operation(operation: Operation, components: dict[str, Any]) -> Document:
    made: Document = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation, components)],
        "responses": _responses(operation),
    }
    if operation.has_key:
        text = "The same key gives the same task, however often it is asked for."
        schema = {"type": "string", "maxLength": 200}
        made["parameters"].append({"name": "Idempotency-Key", "in": "header", "description": text, "schema": schema})
    if operation.takes is not None:
        is_required = any(field.required for field in msgspec.structs.fields(operation.takes))
        content = {"application/json": {"schema": _ref(operation.takes)}}
        made["requestBody"] = {"required": is_required, "content": content}
    if operation.access == "task":
        made["description"] = "The token of the task's own program, `ct_…`, opens it too."
    if operation.access == "program":
        made["description"] = "The tokens of tasks' programs, `ct_…`, open it too, for what is their own."
    if operation.access == "open":
        made["security"] = []
    return made


def _path_parameters(operation: Operation) -> list[Document]:
    names = _PARAMETER.findall(operation.path)
    return [{"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]} for name in names]


def _query_parameters(operation: Operation, components: dict[str, Any]) -> list[Document]:
    if operation.query is Nothing:
        return []
    described = components[operation.query.__name__]
    needed = {name: {"required": True} for name in described.get("required", ())}
    return [
        {"name": name, "in": "query", **needed.get(name, {}), "schema": schema}
        for name, schema in described["properties"].items()
    ]


def _responses(operation: Operation) -> Document:
    content: Document = {}
    if operation.gives is not None:
        content["application/json"] = {"schema": _ref(operation.gives)}
    for media in operation.media.split(",") if operation.media else ():
        content[media] = {"schema": {"type": "object" if media.endswith("json") else "string"}}
    found: Document = {str(operation.status): {"description": "Done.", "content": content}}
    for status, codes in sorted(_problems(operation).items()):
        is_shared = SHARED.get(status) == codes
        found[str(status)] = {"$ref": f"#/components/responses/{status}"} if is_shared else _problem(status, codes)
    return found


def _problem(status: int, codes: Iterable[str]) -> Document:
    text = f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in sorted(codes))}."
    return {"description": text, "content": {MEDIA_TYPE: {"schema": _ref(Problem)}}}


def _problems(operation: Operation) -> dict[int, set[str]]:
    """Return the codes of an operation's errors, by status."""
    codes = ["bad_query", *SHARED[403], *SHARED[500], *operation.codes]
    if operation.access != "open":
        codes += [*SHARED[401], *SHARED[503]]
    if "{task}" in operation.path:
        codes.append("not_an_id")
    if operation.takes is not None:
        codes += ["not_json", "bad_body", "body_too_large", "not_json_body"]
    if operation.has_key:
        codes.append("bad_key")
    found: dict[int, set[str]] = {}
    for code in codes:
        found.setdefault(_STATUS.get(code) or BY_CODE.get(code, 400), set()).add(code)
    return found


def _ref(kind: type[msgspec.Struct]) -> Document:
    return {"$ref": _REF.format(name=kind.__name__)}
