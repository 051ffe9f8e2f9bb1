"""Bounded memory: the newest keys are kept, the oldest forgotten, so that no stream of events fills a node."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

KEYS_MAX = 4096
"""So many fields, calls or actors does one detector remember at most, each kind by itself."""

EVIDENCE_MAX = 32
"""So many calls are named in one alarm at most: the newest."""

SECOND_US = 1_000_000

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A mapping that forgets the key that was used longest ago when it would grow beyond its bound."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def get(self, key: K) -> V | None:
        """Return its value without using it."""
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value, as the newest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._keys_max:
            self._values.popitem(last=False)

    def use(self, key: K, make: Callable[[], V]) -> V:
        """Return its value, made where there is none, and count it as used."""
        value = self._values.get(key)
        if value is None:
            value = make()
        self.put(key, value)
        return value

    def drop(self, key: K) -> V | None:
        """Forget it; return what it was."""
        return self._values.pop(key, None)

    def view(self) -> OrderedDict[K, V]:
        """Return the mapping itself, to read from."""
        return self._values

    def values(self) -> Iterator[V]:
        """Return the values that are kept, oldest first."""
        return iter(self._values.values())

    def items(self) -> Iterator[tuple[K, V]]:
        """Return what is kept, oldest first."""
        return iter(self._values.items())


class Latch(Generic[K]):
    """Which alarms are under way: each begins once, and again only after it was quiet for a while."""

    def __init__(self, quiet_s: float, keys_max: int = KEYS_MAX) -> None:
        self._quiet_us = int(quiet_s * SECOND_US)
        self._until: Recent[K, int] = Recent(keys_max)

    def begins(self, key: K, at_us: int) -> bool:
        """Note that the reason for an alarm is there at `at_us`; return whether it was not before."""
        is_new = self.would_begin(key, at_us)
        self._until.put(key, at_us + self._quiet_us)
        return is_new

    def would_begin(self, key: K, at_us: int) -> bool:
        """Return whether an alarm would begin; changes nothing."""
        until = self._until.get(key)
        return until is None or at_us > until
