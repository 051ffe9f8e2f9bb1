"""The feature file: database nodes that answer in turn, some with duplicates, and proxies with a strict limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from constants import FEATURES, FeaturesConstants

from comity.core.entropy import Generator


class Features:
    """The plant."""

    ACTUATORS: tuple[str, ...] = ("change_permission", "build_file", "ship_file")

    def __init__(self, chance: Generator, constants: FeaturesConstants = FEATURES) -> None:
        """Begin with a good file, and no node changed."""
        self._c = constants
        self._chance = chance
        self.changed = [0] * constants.nodes
        self.answers = 0
        self.rows, self.duplicates = constants.rows, 0
        self.shipped = constants.rows
        self.failing_steps = 0
        self.is_lost = False

    # What agents can do

    def change_permission(self, node: int) -> int:
        """Change the permissions on a database node."""
        self.changed[node] = 1
        return node

    def build_file(self, file: str, rows: int, duplicates: int) -> int:
        """Write the feature file."""
        self.rows, self.duplicates = rows, duplicates
        return rows

    def ship_file(self, file: str, rows: int, duplicates: int) -> int:
        """Ship a file to the proxies."""
        self.shipped = rows
        return rows

    # What happens

    def step(self) -> None:
        """Let five minutes pass; another node answers. Proxies that cannot take the file serve errors."""
        self.answers = self._chance.randrange(self._c.nodes)
        self.failing_steps = self.failing_steps + 1 if self.shipped > self._c.rows_max else 0
        self.is_lost = self.is_lost or self.failing_steps >= 1

    # What can be seen

    def sensors(self) -> dict[str, Any]:
        """Return what everybody sees; `answer_rows` is what the node that answers now would return."""
        c = self._c
        rows, copies = (c.rows + c.rows_new, c.copies) if self.changed[self.answers] else (c.rows, 1)
        return {
            "changed": list(self.changed),
            "answer_rows": rows * copies,
            "answer_duplicates": rows * (copies - 1),
            "rows": self.rows,
            "duplicates": self.duplicates,
            "shipped": self.shipped,
        }

    def state(self) -> Mapping[str, Any]:
        """Return what is really so."""
        return {**self.sensors(), "failing_steps": self.failing_steps}

    def goals(self) -> Mapping[str, bool]:
        """Return who has what it wants."""
        c = self._c
        is_served = not self.is_lost and self.shipped <= c.rows_max
        return {
            "roll-out": all(self.changed),
            "distributor": is_served and self.shipped >= c.rows + c.rows_new,
            "proxies": is_served,
        }
