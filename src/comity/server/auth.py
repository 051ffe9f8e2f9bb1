"""Who asks: operators by tokens of their own, programs by the token of their task, and what each may.

An operator token is `co_` and 256 bits; the store has its SHA-256 only, in a row of namespace `operator` by the
token's name. Bearer headers alone are read: no cookie, no query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final, Protocol

import msgspec
from starlette.datastructures import Headers

from comity.core.clock import Clock
from comity.core.codec import pack
from comity.core.entropy import Entropy
from comity.core.errors import GovernanceError, UsageError
from comity.core.ids import Id, show_id
from comity.journal.ports import Store
from comity.journal.unit import GuardFailed, OperatorSubject, StateWrite, Unit
from comity.kernel.outside import INCARNATION, incarnation_key
from comity.server.asking import Principal

NAMESPACE: Final = "operator"
PREFIX: Final = "co_"
FIRST: Final = "first"
"""The name of the token that a store's first node makes."""
TOKEN_BYTES: Final = 32
LASTS_S: Final = 90 * 86_400
CACHE_S: Final = 1.0
"""So long a token that was revoked by another process may still be taken."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


class OperatorToken(msgspec.Struct, frozen=True, array_like=True):
    """A token as the store keeps it; `expires_us` 0 is never."""

    name: str
    sha256: bytes
    created_us: int
    expires_us: int = 0


_read = msgspec.msgpack.Decoder(OperatorToken).decode


class Named(Protocol):
    """Whom a task token names."""

    @property
    def task(self) -> Id:
        """Return the task."""
        ...

    @property
    def incarnation(self) -> int:
        """Return the incarnation of its program."""
        ...


class TaskTokens(Protocol):
    """Makes and reads the tokens of tasks."""

    def mint(self, task: Id, incarnation: int) -> str:
        """Return the token of one incarnation of a task."""
        ...

    def read(self, token: str) -> Named | None:
        """Return whom `token` names; None where it is none of ours."""
        ...


NOBODY = Principal("nobody")
"""Whoever asks what everybody may."""


class Operators:
    """The operators' tokens of one store, and those that this process alone knows."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        """Read from `store`."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._passing: list[bytes] = []
        self._known: list[OperatorToken] = []
        self._known_until_s = 0.0

    async def all(self) -> list[OperatorToken]:
        """Return the tokens of the store, by name."""
        return [_read(row.value) for row in await self._store.states(NAMESPACE)]

    async def valid(self) -> list[OperatorToken]:
        """Return those that have not expired."""
        now_us = self._clock.wall_us()
        return [token for token in await self.all() if not token.expires_us or token.expires_us > now_us]

    async def first(self) -> str | None:
        """Make the token of a store that has none; None where it has one."""
        if await self._store.states(NAMESPACE):
            return None
        return await self._put(FIRST, LASTS_S, 0)

    async def new(self, name: str, lasts_s: float = LASTS_S) -> str:
        """Make a token, shown this once; `lasts_s` 0 is for ever.

        Raises:
            UsageError: the name is taken, or no name.
        """
        if not _NAME.fullmatch(name):
            text = f"`{name[:80]}` cannot name a token"
            raise UsageError("bad_name", text, hint="take letters, digits, `.`, `_` and `-`, at most 60")
        made = await self._put(name, lasts_s, 0)
        if made is None:
            hint = f"`comity token rotate {name}` replaces it"
            raise UsageError("name_taken", f"there is a token `{name}` already", hint=hint)
        return made

    async def rotate(self, name: str, lasts_s: float = LASTS_S) -> str:
        """Make a token in the place of another, which is void from now on.

        Raises:
            UsageError: there is none of that name.
        """
        await self._row(name)
        made = await self._put(name, lasts_s, None)
        assert made is not None, "no version was required"
        return made

    async def revoke(self, name: str) -> None:
        """Make a token void.

        Raises:
            UsageError: there is none of that name.
        """
        await self._row(name)
        await self._commit(StateWrite(NAMESPACE, name, None))

    def passing(self) -> str:
        """Make a token that this process knows until it ends, and nobody else."""
        token, digest = self._make()
        self._passing.append(digest)
        return token

    async def check(self, token: str) -> str:
        """Return the name of an operator's token.

        Raises:
            GovernanceError: it is none, or has expired.
        """
        digest = _digest(token)
        found = ""
        for known in self._passing:  # each is compared, in a time that does not tell which
            found = "supervisor" if hmac.compare_digest(known, digest) else found
        for row in await self._rows():
            if not hmac.compare_digest(row.sha256, digest):
                continue
            if row.expires_us and row.expires_us <= self._clock.wall_us():
                hint = f"`comity token rotate {row.name}` makes another"
                raise GovernanceError("expired_token", f"token `{row.name}` has expired", retry="never", hint=hint)
            found = row.name
        if not found:
            hint = "`comity token new NAME` makes one; give it as `Authorization: Bearer co_…`"
            raise GovernanceError("unknown_token", "the token is none of this server", retry="never", hint=hint)
        return found

    async def _rows(self) -> list[OperatorToken]:
        now_s = self._clock.monotonic_s()
        if now_s >= self._known_until_s:
            self._known = await self.all()
            self._known_until_s = now_s + CACHE_S
        return self._known

    async def _row(self, name: str) -> OperatorToken:
        row = await self._store.state(NAMESPACE, name)
        if row is None:
            raise UsageError("no_such_token", f"there is no token `{name}`", hint="`comity token ls` lists them")
        return _read(row.value)

    async def _put(self, name: str, lasts_s: float, expected_version: int | None) -> str | None:
        token, digest = self._make()
        now_us = self._clock.wall_us()
        row = OperatorToken(name, digest, now_us, now_us + int(lasts_s * 1e6) if lasts_s else 0)
        is_written = await self._commit(StateWrite(NAMESPACE, name, pack(row), expected_version))
        return token if is_written else None

    async def _commit(self, write: StateWrite) -> bool:
        (answer,) = await self._store.commit([Unit(OperatorSubject("token"), state=(write,))])
        self._known_until_s = 0.0
        return not isinstance(answer, GuardFailed)

    def _make(self) -> tuple[str, bytes]:
        token = PREFIX + base64.urlsafe_b64encode(self._entropy.take(TOKEN_BYTES)).decode().rstrip("=")
        return token, _digest(token)


class Gatekeeper:
    """Tells who asks, and refuses what that one may not."""

    def __init__(self, store: Store, operators: Operators, tokens: TaskTokens) -> None:
        """Take operators' and tasks' tokens."""
        self._store = store
        self._operators = operators
        self._tokens = tokens

    async def admit(self, headers: Headers, own: Id | None = None, *, is_for_programs: bool = False) -> Principal:
        """Return who asks; `own` is the task that its own program may ask this of, None where only operators may.

        What `is_for_programs` may be asked by the program of any task, which gets at what is its own.

        Raises:
            GovernanceError: no token, none of ours, an expired or replaced one; or a program asks what it may not.
        """
        token = bearer(headers)
        if token.startswith(PREFIX):
            return Principal(await self._operators.check(token))
        named = self._tokens.read(token)
        if named is None:
            hint = "give an operator's token, `co_…`, or the task's own, `ct_…`"
            raise GovernanceError("unknown_token", "the token is none of this server", retry="never", hint=hint)
        if named.task != own and not is_for_programs:
            hint = "it opens its own task's page, events and end; all else takes an operator's token"
            raise GovernanceError("not_yours", "a task's token does not open this", retry="never", hint=hint)
        row = await self._store.state(INCARNATION, incarnation_key(named.task))
        if row is None or row.version != named.incarnation:
            text = f"incarnation {named.incarnation} of task `{show_id(named.task)}` was replaced"
            hint = "end this program: another one has taken its place"
            raise GovernanceError("old_incarnation", text, retry="never", hint=hint)
        return Principal(f"task:{show_id(named.task)}", named.task)


def bearer(headers: Headers) -> str:
    """Return the token of `Authorization: Bearer TOKEN`.

    Raises:
        GovernanceError: there is none.
    """
    given = headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        hint = "give `Authorization: Bearer co_…`; `comity token new NAME` makes a token"
        raise GovernanceError("no_token", "no token was given", retry="never", hint=hint)
    return token.strip()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
