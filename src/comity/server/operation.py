"""An operation of the API: method, path, types and errors as data, from which routes and OpenAPI are made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from comity.core.codec import parse
from comity.core.errors import ComityError, UsageError
from comity.core.ids import Id, parse_id
from comity.runtime.node import Node
from comity.server.asking import Ask, misfit
from comity.server.auth import NOBODY, Gatekeeper, TaskTokens
from comity.server.problem import problem_response

ROOT = "/api/v1"
Method = Literal["GET", "POST", "PUT", "DELETE"]
Access = Literal["operator", "task", "program", "open"]
T = TypeVar("T")


class Drawn(msgspec.Struct, frozen=True):
    """An answer that is no JSON."""

    data: bytes
    media: str


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No fields: a body that may be left out, or a query without parameters."""


@dataclass(frozen=True, slots=True)
class Api:
    """A node that serves operations, and whom it lets in."""

    node: Node
    tokens: TaskTokens
    gatekeeper: Gatekeeper
    is_draining: asyncio.Event


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path. `codes` are its errors beside those that every operation has.

    `handle` is None where a route of its own serves it. `access` `task` lets the program of the task that the path
    names in, too, `program` those of all tasks, `open` everybody; `has_key` takes an `Idempotency-Key`; `media` is what
    it answers with, beside or instead of the JSON of `gives`: one, or several with commas between them.
    """

    name: str
    method: Method
    path: str
    summary: str
    handle: Callable[[Ask], Awaitable[msgspec.Struct]] | None
    gives: type[msgspec.Struct] | None
    takes: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] = Nothing
    status: int = 200
    codes: tuple[str, ...] = ()
    access: Access = "operator"
    has_key: bool = False
    media: str = ""


def routes_of(operations: Iterable[Operation], api: Api) -> list[Route]:
    """Return the routes of operations: one for each path, so that a wrong method is told which are right."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        if operation.handle is not None:
            by_path.setdefault(operation.path, {})[operation.method] = operation
    return [_route(path, methods, api) for path, methods in by_path.items()]


def _route(path: str, operations: dict[str, Operation], api: Api) -> Route:
    async def serve(request: Request) -> Response:
        operation = operations["GET" if request.method == "HEAD" else request.method]
        assert operation.handle is not None, "others have routes of their own"
        try:
            made = await operation.handle(await _ask(operation, request, api))
        except ComityError as error:
            return problem_response(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        if isinstance(made, Drawn):
            return Response(made.data, operation.status, media_type=made.media)
        return Response(msgspec.json.encode(made), operation.status, media_type="application/json")

    return Route(path, serve, methods=list(operations), name=path)


async def _ask(operation: Operation, request: Request, api: Api) -> Ask:
    own, section = None, api.node.config.sections.server
    path = {name: str(value) for name, value in request.path_params.items()}
    if operation.access == "task":
        own = _id_or_none(path["task"])
    is_open = operation.access == "open"
    is_for_programs = operation.access == "program"
    who = NOBODY if is_open else await api.gatekeeper.admit(request.headers, own, is_for_programs=is_for_programs)
    return Ask(
        api.node,
        who,
        path,
        read_query(operation.query, request.query_params.multi_items()),
        await _body(operation, request, section.body_bytes_max),
        _key(request.headers) if operation.has_key else "",
        base_url(request.headers, request.url.scheme, is_behind_proxy=section.behind_proxy),
        api,
    )


def read_query(kind: type[T], pairs: Iterable[tuple[str, str]]) -> T:
    """Return the query that `pairs` spell; a parameter may be repeated where it is a list.

    Raises:
        UsageError: an unknown parameter, one given twice, or a value that does not fit.
    """
    lists = {field.encode_name for field in msgspec.structs.fields(kind) if _is_list(field.type)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name in lists:
            values.setdefault(name, []).append(text)
        elif name in values:
            raise UsageError("bad_query", f"`{name}` is given twice", hint="give it once")
        else:
            values[name] = text
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise misfit("query", error) from None


def read_body(kind: type[T], data: bytes) -> T:
    """Return the body that `data` spells.

    Raises:
        UsageError: no JSON, a key twice, an unknown field, or a value that does not fit.
    """
    value = _whole(parse(data, "body"), msgspec.inspect.type_info(kind))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise misfit("body", error) from None


def base_url(headers: Headers, scheme: str, *, is_behind_proxy: bool) -> str:
    """Return how this client reaches the server: by the name that it used, which the shield has checked."""
    if is_behind_proxy and headers.get("x-forwarded-proto") == "https":
        scheme = "https"
    return f"{scheme}://{headers['host']}"


async def _body(operation: Operation, request: Request, bytes_max: int) -> Any:
    data = await _read(request, request.headers, bytes_max)
    if operation.takes is None:
        if data:
            raise UsageError("bad_body", "this request takes no body", hint="leave the body out")
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if data and kind != "application/json":
        text = f"a body of type `{kind[:80]}` is not taken"
        raise UsageError("not_json_body", text, hint="send JSON with `Content-Type: application/json`")
    return read_body(operation.takes, data or b"{}")


async def _read(request: Request, headers: Headers, bytes_max: int) -> bytes:
    """Return the body of a request; one above the limit is refused at its announcement, or when it has come."""
    announced = headers.get("content-length", "0")
    data = bytearray()
    if not announced.isdecimal() or int(announced) <= bytes_max:
        async for piece in request.stream():
            data += piece
            if len(data) > bytes_max:
                break
        else:
            return bytes(data)
    text = f"the request's body has more than {bytes_max:,} bytes"
    raise UsageError("body_too_large", text, hint="`body_bytes_max` of `[server]` sets the limit")


def _key(headers: Headers) -> str:
    key = headers.get("idempotency-key", "")
    if len(key) > 200:
        raise UsageError("bad_key", "`Idempotency-Key` has more than 200 characters", hint="a UUID will do")
    return key


def _id_or_none(text: str) -> Id | None:
    try:
        return parse_id(text)
    except UsageError:
        return None


def _whole(value: Any, kind: msgspec.inspect.Type) -> Any:
    """Return `value` with integers where `kind` asks for them: 7.0 is one, says JSON Schema."""
    if isinstance(kind, msgspec.inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in kind.fields}
        return {name: _whole(item, fields[name]) if name in fields else item for name, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
        return int(value) if any(isinstance(item, msgspec.inspect.IntType) for item in kinds) else value
    if isinstance(kind, msgspec.inspect.UnionType) and isinstance(value, dict):
        structs = [item for item in kind.types if isinstance(item, msgspec.inspect.StructType)]
        return _whole(value, structs[0]) if structs else value
    return value


def _is_list(kind: Any) -> bool:
    return isinstance(msgspec.inspect.type_info(kind), msgspec.inspect.VarTupleType | msgspec.inspect.ListType)
