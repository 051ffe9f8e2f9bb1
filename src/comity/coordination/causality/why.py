"""*Why did this happen*: the recorded ancestry of a call, version, field or resource, as a tree with its roots."""

from __future__ import annotations

from typing import Literal

import msgspec

from comity.coordination.causality.answer import How, MapNode, Missing, NodeKind, is_principal, node_id
from comity.coordination.causality.happening import FieldMemory, Happening, versioned
from comity.coordination.causality.origins import origins
from comity.coordination.causality.recorded import Recorded

WHY_DEPTH_MAX = 24
WHY_NODES_MAX = 200
WHY_FIELDS_MAX = 24
"""So many fields of a resource are answered for."""

Leaf = Literal["", "root", "unknown", "left", "shown", "cut"]


class Because(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node of the ancestry, and what made it happen. `how` and `evidence` tell how it caused the node above it.

    Where `causes` is empty, `leaf` says why: a *root* (nothing made it happen, as far as anyone recorded), *unknown*
    (it is named and nobody recorded it), *left* (so, or older than the map), *shown* before, *cut* (too deep, many).
    """

    node: MapNode
    how: How | Literal[""] = ""
    evidence: tuple[str, ...] = ()
    leaf: Leaf = ""
    causes: tuple[Because, ...] = ()


class Why(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer: one tree for each thing that was meant, the roots of them all, and what is unknown."""

    asked: str
    trees: tuple[Because, ...] = ()
    roots: tuple[MapNode, ...] = ()
    unknown: tuple[Missing, ...] = ()
    is_cut: bool = False


def why(recorded: Recorded, asked: str) -> Why:
    """Return who made this happen: a call, `FIELD@VERSION`, a field, a resource, or any node by its id or name."""
    search = _Search(recorded)
    found = recorded.find(asked)
    if found is not None:
        trees = [search.tree(found)]
    elif is_principal(asked):
        trees = [search.principal(asked)]
    else:
        trees = search.of_world(asked)
    return Why(asked, tuple(trees), tuple(search.roots.values()), tuple(search.unknown), search.is_cut)


class _Search:
    def __init__(self, recorded: Recorded) -> None:
        self.recorded = recorded
        self.shown: set[str] = set()
        self.roots: dict[str, MapNode] = {}
        self.unknown: list[Missing] = []
        self.is_cut = False

    def of_world(self, asked: str) -> list[Because]:
        field, at, version = asked.rpartition("@")
        if at and version.isdigit():
            return [self._version(field, int(version))]
        name = asked.removeprefix("field:")
        state = self.recorded.fields.get(name)
        if state is not None:
            return [self._field(state)]
        below = [known for known in sorted(self.recorded.fields) if known.startswith(f"{name}.")]
        if below:
            self.is_cut |= len(below) > WHY_FIELDS_MAX
            return [self._field(self.recorded.fields[known]) for known in below[:WHY_FIELDS_MAX]]
        return [self._unknown(Missing(asked, asked, "made", self._absence()))]

    def tree(
        self, it: Happening, how: How | Literal[""] = "", evidence: tuple[str, ...] = (), depth: int = 0
    ) -> Because:
        node = it.node()
        if it.id in self.shown:
            return Because(node, how, evidence, "shown")
        if depth >= WHY_DEPTH_MAX or len(self.shown) >= WHY_NODES_MAX:
            self.is_cut = True
            return Because(node, how, evidence, "cut")
        self.shown.add(it.id)
        found = origins(self.recorded, it)
        causes = [self._unknown(missing) for missing in found.missing]
        for edge in found.edges:
            cause = self.recorded.happenings.get(edge.cause)
            if cause is None:
                causes.append(self.principal(edge.cause, edge.how, edge.evidence))
            else:
                causes.append(self.tree(cause, edge.how, edge.evidence, depth + 1))
        if not causes:
            self.roots.setdefault(node.id, node)
        return Because(node, how, evidence, "" if causes else "root", tuple(causes))

    def principal(self, id: str, how: How | Literal[""] = "", evidence: tuple[str, ...] = ()) -> Because:
        kind: NodeKind = {"person": "person", "operator": "operator"}.get(id.partition(":")[0], "agent")  # type: ignore[assignment]  # both are kinds of nodes
        node = MapNode(id, kind, id.partition(":")[2])
        self.roots.setdefault(id, node)
        return Because(node, how, evidence, "root")

    def _version(self, field: str, version: int) -> Because:
        name = versioned(field, version)
        node = MapNode(node_id("field", name), "field", name)
        writer = self.recorded.writer(name)
        if writer is not None:
            return Because(node, causes=(self.tree(writer, "wrote", (name,), 1),))
        state = self.recorded.fields.get(field)
        if state is not None and state.written == version:
            return Because(node, causes=(self._left(state),))
        return Because(node, causes=(self._unknown(Missing(node.id, name, "wrote", self._absence())),))

    def _field(self, state: FieldMemory) -> Because:
        """Return why a field is as it is: the last version of it that is known."""
        if not state.version:
            node = MapNode(node_id("field", state.name), "field", state.name, until_us=state.last_us)
            missing = Missing(node.id, state.name, "wrote", self._absence())
            return Because(node, causes=(self._unknown(missing),))
        return self._version(state.name, state.version)

    def _left(self, state: FieldMemory) -> Because:
        """Return the last writer of a field, of whom no more than the name is kept."""
        node = MapNode(
            node_id("call", state.writer), "call", state.writer, at_us=state.written_us, until_us=state.written_us,
            actor=state.actor,
        )  # fmt: skip
        name = versioned(state.name, state.written)
        self.unknown.append(Missing(node_id("field", name), state.writer, "wrote", "left"))
        return Because(node, "wrote", (name,), "left")

    def _unknown(self, missing: Missing) -> Because:
        self.unknown.append(missing)
        node = MapNode(node_id("unknown", missing.name), "unknown", missing.name, state=missing.why)
        return Because(node, missing.how, (missing.name,), "unknown" if missing.why == "never" else "left")

    def _absence(self) -> Literal["never", "left"]:
        return "left" if self.recorded.floor_us >= 0 else "never"
