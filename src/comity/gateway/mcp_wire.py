"""MCP's messages: JSON-RPC read strictly, its eras told apart, answers and errors in the shape of each.

The handshake eras (2025-06-18, 2025-11-25) need no session here: `initialize` is answered and forgotten. Since
2026-07-28 each request stands for itself: it carries its version, and headers that repeat what the body says.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from importlib.metadata import version as version_of
from typing import Any, Final

import msgspec

from comity.core.codec import parse
from comity.core.errors import UsageError
from comity.gateway.exchange import Header
from comity.gateway.refusal import Refusal

MODERN: Final = "2026-07-28"
HANDSHAKES: Final = ("2025-11-25", "2025-06-18")
VERSIONS: Final = (MODERN, *HANDSHAKES)
"""What is spoken, newest first."""

NOT_JSON: Final = -32700
BAD_REQUEST: Final = -32600
NO_METHOD: Final = -32601
BAD_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNKNOWN_VERSION: Final = -32022
REFUSED: Final = -32010
"""The gateway takes no call of this program now; `data` says why. Of the range that is each server's own."""

_PREFIX = "io.modelcontextprotocol/"
_VERSION_KEY = _PREFIX + "protocolVersion"
_CAPABILITIES_KEY = _PREFIX + "clientCapabilities"
_SERVER_KEY = _PREFIX + "serverInfo"
_VERSION, _METHOD, _NAME = b"mcp-protocol-version", b"mcp-method", b"mcp-name"
_PLAIN_200 = frozenset({NO_METHOD, BAD_PARAMS})
"""Errors that the handshake eras answer with HTTP 200: the request as such was well formed."""

SERVER: Final = {"name": "comity", "title": "Comity", "version": version_of("comity")}


class RpcError(Exception):
    """A JSON-RPC error: its code, a sentence, and `data` with a way out."""

    def __init__(self, code: int, message: str, hint: str = "", data: Mapping[str, Any] | None = None) -> None:
        """Keep what is said; `data` gets the hint."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = {**({"hint": hint} if hint else {}), **(data or {})}
        self.id: int | str | None = None
        self.headers: list[Header] = []
        self.status = 404 if code == NO_METHOD else 400

    @classmethod
    def of_refusal(cls, refusal: Refusal) -> RpcError:
        """Return what a client is told of a refusal; HTTP's status and headers say it too."""
        facts = {"code": refusal.code, "retry": not refusal.is_final}
        error = cls(REFUSED, refusal.message, refusal.hint, facts)
        error.status = refusal.status
        error.headers = refusal.headers
        if refusal.status == 401:
            error.headers.append((b"www-authenticate", b'Bearer realm="comity"'))
        return error

    def status_for(self, request: RpcRequest | None) -> int:
        """Return the HTTP status under which the client of a request, if it was one, expects it."""
        is_plain = request is not None and not request.is_modern and self.code in _PLAIN_200
        return 200 if is_plain else self.status

    def encoded(self) -> bytes:
        """Return the answer that says so."""
        error = {"code": self.code, "message": self.message, **({"data": self.data} if self.data else {})}
        return msgspec.json.encode({"jsonrpc": "2.0", "id": self.id, "error": error})


class RpcRequest(msgspec.Struct, frozen=True):
    """A request that wants an answer, by a client of protocol `version`."""

    id: int | str
    method: str
    params: dict[str, Any]
    version: str

    @property
    def is_modern(self) -> bool:
        """Tell whether it stands for itself, with no handshake before."""
        return self.version == MODERN

    @property
    def progress_token(self) -> int | str | None:
        """Return the token under which the client wants to hear of progress."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return token if type(token) in (int, str) else None

    def encoded(self, result: Mapping[str, Any]) -> bytes:
        """Return the answer that holds `result`."""
        if self.is_modern:
            meta = {**(result.get("_meta") or {}), _SERVER_KEY: SERVER}
            result = {"resultType": "complete", **result, "_meta": meta}
        return msgspec.json.encode({"jsonrpc": "2.0", "id": self.id, "result": result})

    def progress(self, seconds: float, text: str) -> bytes:
        """Return a notification of progress: so long it has taken."""
        params = {"progressToken": self.progress_token, "progress": seconds, "message": text}
        return msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


def read(body: bytes, headers: Iterable[Header]) -> RpcRequest | None:
    """Return the request that a POST holds; None for a notification or an answer, which are only acknowledged.

    Raises:
        RpcError: it is none, or its headers and its body do not agree.
    """
    message = _message(body)
    named = _routing(headers)
    version = named.get(_VERSION)
    if version is not None and version not in VERSIONS:
        raise unknown_version(version)
    if "id" not in message or "method" not in message:
        return None
    request = _request(message, version)
    if request.is_modern:
        try:
            _check_envelope(request, named)
        except RpcError as error:
            error.id = request.id
            raise
    return request


def unknown_version(requested: str) -> RpcError:
    """Return the error of a protocol version that is not spoken here."""
    text = f"protocol version `{requested}` is not spoken here"
    hint = f"use one of {', '.join(VERSIONS)}"
    return RpcError(UNKNOWN_VERSION, text, hint, {"supported": list(VERSIONS), "requested": requested})


def without_protocol_keys(meta: object) -> dict[str, Any]:
    """Return what a `_meta` holds beside the protocol's own keys, which speak of another connection."""
    if not isinstance(meta, dict):
        return {}
    return {key: value for key, value in meta.items() if not key.startswith(_PREFIX)}


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = parse(body, "body")
    except UsageError as error:
        raise RpcError(NOT_JSON, error.message, error.hint) from None
    if isinstance(message, list):
        raise RpcError(BAD_REQUEST, "the body is a batch", "send one request in each POST")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(BAD_REQUEST, "the body is no JSON-RPC 2.0 message", 'send {"jsonrpc": "2.0", "id": 1, …}')
    if "method" not in message and "result" not in message and "error" not in message:
        raise RpcError(BAD_REQUEST, "the message has no `method`", 'for instance "method": "tools/list"')
    return message


def _request(message: dict[str, Any], version: str | None) -> RpcRequest:
    number, method, params = message["id"], message["method"], message.get("params")
    if type(number) not in (int, str):
        raise RpcError(BAD_REQUEST, "the request's `id` is neither a string nor an integer", "give it one of these")
    if not isinstance(method, str) or not isinstance(params, dict | None):
        error = RpcError(BAD_REQUEST, "`method` must be a string, `params` an object", "positional params are not MCP")
        error.id = number
        raise error
    params = params or {}
    meta = params.get("_meta")
    if version is None:
        version = MODERN if isinstance(meta, dict) and _VERSION_KEY in meta else HANDSHAKES[-1]
    return RpcRequest(number, method, params, version)


def _routing(headers: Iterable[Header]) -> dict[bytes, str]:
    """Return the headers that repeat the body. Each once: two readers could take different ones of two."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in (_VERSION, _METHOD, _NAME):
            if name in found:
                raise RpcError(HEADER_MISMATCH, f"header `{name.decode()}` stands there twice", "send it once")
            found[name] = value.decode("latin-1")
    return found


def _check_envelope(request: RpcRequest, named: Mapping[bytes, str]) -> None:
    meta = request.params.get("_meta")
    missing = [key for key in (_VERSION_KEY, _CAPABILITIES_KEY) if not isinstance(meta, dict) or key not in meta]
    if missing:
        raise RpcError(BAD_PARAMS, f"`params._meta` lacks `{missing[0]}`", f"{MODERN} has it in each request")
    assert isinstance(meta, dict)
    told = {_VERSION: meta[_VERSION_KEY], _METHOD: request.method}
    if request.method == "tools/call":
        told[_NAME] = request.params.get("name")
    for name, said in told.items():
        value = named.get(name)
        if said is not None and (value is None or _decoded(value) != said):
            text = f"header `{name.decode()}` does not say what the body says"
            raise RpcError(HEADER_MISMATCH, text, f"{MODERN} repeats version, method and tool name in headers")


def _decoded(value: str) -> str | None:
    """Return what a header says; what is no plain text stands there as `=?base64?…?=`."""
    if not (value.startswith("=?base64?") and value.endswith("?=")):
        return value
    try:
        return base64.b64decode(value[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
