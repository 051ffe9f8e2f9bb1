"""Task tokens: what a program sends as its API key. One opens the two URLs for one task, and dies with its incarnation.

A token is `ct_` and base64url of task (16 bytes), incarnation (4), MAC (16). Any node of a store can tell a real one,
since the key of the MAC is a row of the store; whether its incarnation still counts is the task's journal to say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import NamedTuple

from comity.core.entropy import Entropy
from comity.core.ids import Id
from comity.journal.ports import Store
from comity.journal.unit import OperatorSubject, StateWrite, Unit

PREFIX = "ct_"
NAMESPACE = "secret"
KEY = "task_tokens"
_MAC_BYTES = 16
_TOKEN_BYTES = 16 + 4 + _MAC_BYTES


class Bearer(NamedTuple):
    """Whom a token names."""

    task: Id
    incarnation: int


class TaskTokens:
    """Makes and reads task tokens under one key."""

    def __init__(self, key: bytes) -> None:
        """Use `key` (32 bytes)."""
        self._key = key

    @classmethod
    async def of_store(cls, store: Store, entropy: Entropy) -> TaskTokens:
        """Return the tokens of a store; its key is made where there is none."""
        row = await store.state(NAMESPACE, KEY)
        if row is None:
            made = StateWrite(NAMESPACE, KEY, entropy.take(32), 0)
            await store.commit([Unit(OperatorSubject("gateway"), state=(made,))])  # another node may be first
            row = await store.state(NAMESPACE, KEY)
        assert row is not None
        return cls(row.value)

    def mint(self, task: Id, incarnation: int) -> str:
        """Return the token of one incarnation of a task."""
        named = task + incarnation.to_bytes(4, "big")
        return PREFIX + base64.urlsafe_b64encode(named + self._mac(named)).decode()

    def read(self, token: str) -> Bearer | None:
        """Return whom `token` names; None where it is none of ours."""
        if not token.startswith(PREFIX) or not token.isascii():
            return None
        try:
            data = base64.b64decode(token[len(PREFIX) :], b"-_", validate=True)
        except binascii.Error:
            return None
        named, mac = data[:20], data[20:]
        if len(data) != _TOKEN_BYTES or not hmac.compare_digest(mac, self._mac(named)):
            return None
        return Bearer(named[:16], int.from_bytes(named[16:], "big"))

    def _mac(self, named: bytes) -> bytes:
        return hmac.new(self._key, b"comity.task\0" + named, hashlib.sha256).digest()[:_MAC_BYTES]
