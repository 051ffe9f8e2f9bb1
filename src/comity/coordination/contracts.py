"""Contracts on artefacts: what a producer ensures for its consumers is checked before it publishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comity.coordination.document import ContractSection
from comity.coordination.handling import Bound
from comity.coordination.naming import Template, argument
from comity.core.expression import ExpressionError, Value, parse
from comity.journal.world import FieldValue


class Contract:
    """A contract, compiled."""

    def __init__(self, name: str, section: ContractSection) -> None:
        """Compile it.

        Raises:
            UsageError: its expression does not parse or reads what is not in `let`.
        """
        self.name = name
        self.section = section
        self._artefact = Template(section.artefact)
        self._requires = parse(section.requires, {*section.let, "last"})

    def artefact_of(self, bound: Bound) -> str:
        """Return the artefact that a call publishes under this contract, empty for none."""
        return next((item.field for item in bound.changes if self._artefact.match(item.field) is not None), "")

    def broken_by(self, args: Mapping[str, Any], last: FieldValue) -> str:
        """Return why what is published breaks the contract, empty where it does not; `last` is the last good one."""
        names: dict[str, Value] = {name: _value(argument(args, path)) for name, path in self.section.let.items()}
        names["last"] = last
        try:
            if self._requires.holds(names):
                return ""
        except ExpressionError as error:
            return f"contract {self.name} cannot be judged: {error.message}"
        shown = ", ".join(f"{name} = {value}" for name, value in names.items() if isinstance(value, int | float))
        return f"`{self._requires.text}` ({self.name}) is false: {shown}"


def _value(given: Any) -> Value:
    if isinstance(given, list):
        return tuple(item if isinstance(item, bool | int | float | str) else str(item) for item in given)
    return given if isinstance(given, bool | int | float | str) or given is None else str(given)
