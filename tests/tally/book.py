"""The tally's book: every effect that reached the world, in order, with its idempotency key and arguments.

It is what the providers behind the tools would know, kept apart from Comity. Pure: the simulated matrix keeps one in
memory, the tally process one behind a file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Effect(NamedTuple):
    """One effect: `number` counts from 1 over all; `undone` by a compensation later."""

    number: int
    name: str
    key: str
    args: dict[str, Any]


@dataclass
class Book:
    """What happened. `act` is an effect, `undo` a compensation, `look` what a provider's search answers.

    `undone` holds the numbers of undone effects, in the order in which they were undone.
    """

    effects: list[Effect] = field(default_factory=list)
    undone: dict[int, str] = field(default_factory=dict)
    repeated: list[Effect] = field(default_factory=list)

    def act(self, name: str, key: str, args: dict[str, Any], *, by_key: bool = False) -> int:
        """Do it, and return its number; a provider that goes `by_key` answers a known key with the first one's."""
        if by_key:
            known = next((item for item in self.effects if (item.name, item.key) == (name, key)), None)
            if known is not None:
                self.repeated.append(known)
                return known.number
        self.effects.append(Effect(len(self.effects) + 1, name, key, args))
        return len(self.effects)

    def undo(self, name: str, args: dict[str, Any]) -> int:
        """Undo every standing effect of that name and those arguments; right if there is none, or done again."""
        standing = self.standing(name, args)
        self.undone.update((item.number, name) for item in standing)
        return len(standing)

    def standing(self, name: str, args: dict[str, Any] | None = None) -> list[Effect]:
        """Return the effects of that name (and those arguments) that nothing has undone."""
        return [
            item
            for item in self.effects
            if item.name == name and item.number not in self.undone and (args is None or item.args == args)
        ]

    def look(self, name: str, args: dict[str, Any]) -> int | None:
        """Return the number of the standing effect with those arguments, None where there is none."""
        found = self.standing(name, args)
        return found[0].number if found else None

    def doubled(self) -> list[str]:
        """Return the acts that stand more than once, one line each: same name, same arguments."""
        counted: dict[str, int] = {}
        for item in self.effects:
            if item.number not in self.undone:
                line = f"{item.name} {json.dumps(item.args, sort_keys=True)}"
                counted[line] = counted.get(line, 0) + 1
        return [f"{line}: {number} times" for line, number in counted.items() if number > 1]
