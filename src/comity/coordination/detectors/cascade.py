"""Cascade: acts that make acts, deeper and wider, or more of them with each generation."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from comity.coordination.detector import Alarm
from comity.coordination.detectors.recent import EVIDENCE_MAX, SECOND_US, Latch, Recent
from comity.coordination.detectors.surroundings import Surroundings
from comity.journal.world import Acted, WorldEvent

ACTORS_MAX = 64
WINDOW_MAX = 4096


class CascadeParameters(msgspec.Struct, frozen=True):
    """Depth `depth_min` with `size_min` acts; told again, as escalated, at depth `depth_escalate`.

    Or a reproduction number above `reproduction` over at least `parents_min` acts of the last `window_s` that are
    older than `mature_s` (younger ones have not had the time for consequences). What sets off a tree is no parent
    here, nor is a step of a plan: somebody meant it to have consequences. A tree ends after `quiet_s` without growth.
    Acts of a plan count `weight_declared`.
    """

    depth_min: int = 4
    size_min: int = 24
    depth_escalate: int = 7
    reproduction: float = 1.0
    parents_min: int = 20
    window_s: float = 60.0
    mature_s: float = 10.0
    quiet_s: float = 600.0
    weight_declared: float = 0.25


class _Tree:
    """What one act set off."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.at_us = 0
        self.size = 0.0
        self.depth = 0
        self.actors: Recent[str, int] = Recent(ACTORS_MAX)
        self.calls: deque[str] = deque(maxlen=EVIDENCE_MAX)
        self.fields: Recent[str, None] = Recent(EVIDENCE_MAX)


class _Node:
    """An act: in which tree, how deep, how many it has caused, and whether it counts as a parent now."""

    __slots__ = ("at_us", "call", "children", "depth", "has_cause", "is_parent", "tree")

    def __init__(self, act: Acted, tree: _Tree, depth: int, *, has_cause: bool) -> None:
        self.call = act.call
        self.at_us = act.at_us
        self.tree = tree
        self.depth = depth
        self.children = 0
        self.has_cause = has_cause
        self.is_parent = False


class Cascade:
    """Watches what causes what.

    Source: branching processes; above a reproduction number of 1 they do not end by themselves.
    """

    name = "cascade"

    def __init__(self, surroundings: Surroundings, parameters: CascadeParameters | None = None) -> None:
        self._surroundings = surroundings
        self._with = parameters or CascadeParameters()
        self._nodes: Recent[str, _Node] = Recent(WINDOW_MAX * 2)
        self._young: deque[_Node] = deque(maxlen=WINDOW_MAX)
        self._mature: deque[_Node] = deque()
        self._parents = 0
        self._children = 0
        self._latch: Latch[str] = Latch(self._with.quiet_s)

    def feed(self, event: WorldEvent) -> Sequence[Alarm]:
        """Take the next event."""
        if not isinstance(event, Acted) or event.call in self._nodes:
            return ()
        self._age(event.at_us)
        parent = self._parent(event)
        tree = parent.tree if parent else _Tree(event.caused_by or event.call)
        depth = parent.depth + 1 if parent else 2 if event.caused_by else 1
        node = _Node(event, tree, depth, has_cause=bool(event.caused_by and not event.plan))
        self._nodes.put(event.call, node)
        self._young.append(node)
        if parent is not None:
            self._count_child(parent)
        tree.at_us = max(tree.at_us, event.at_us)
        tree.size += self._with.weight_declared if event.plan else 1.0
        tree.depth = max(tree.depth, depth)
        tree.actors.put(event.actor, (tree.actors.get(event.actor) or 0) + 1)
        tree.calls.append(event.call)
        for change in event.changes:
            tree.fields.put(change.field, None)
        return self._told(event, tree)

    def would(self, act: Acted) -> Alarm | None:
        """Tell whether letting `act` through now would raise an alarm."""
        parent = self._parent(act)
        if parent is None:
            return None
        tree = parent.tree
        size = tree.size + (self._with.weight_declared if act.plan else 1.0)
        for key in self._reasons(size, max(tree.depth, parent.depth + 1)):
            if self._latch.would_begin(f"{key} {tree.root}", act.at_us):
                return self._alarm(act, tree, key)
        return None

    def _parent(self, act: Acted) -> _Node | None:
        parent = self._nodes.get(act.caused_by) if act.caused_by else None
        if parent is None or act.at_us - parent.tree.at_us > self._with.quiet_s * SECOND_US:
            return None
        return parent

    def _age(self, now_us: int) -> None:
        """Move acts from young to mature to forgotten, with the counts of parents and children."""
        mature_us, window_us = (int(s * SECOND_US) for s in (self._with.mature_s, self._with.window_s))
        while self._young and self._young[0].at_us <= now_us - mature_us:
            node = self._young.popleft()
            self._mature.append(node)
            if node.has_cause:
                node.is_parent = True
                self._parents += 1
                self._children += node.children
        while self._mature and (self._mature[0].at_us <= now_us - window_us or len(self._mature) > WINDOW_MAX):
            node = self._mature.popleft()
            if node.is_parent:
                node.is_parent = False
                self._parents -= 1
                self._children -= node.children

    def _count_child(self, parent: _Node) -> None:
        parent.children += 1
        if parent.is_parent:
            self._children += 1

    def _reasons(self, size: float, depth: int) -> list[str]:
        if depth < self._with.depth_min or size < self._with.size_min:
            return []
        return ["escalate"] if depth >= self._with.depth_escalate else ["deep"]

    def _told(self, act: Acted, tree: _Tree) -> list[Alarm]:
        reasons = self._reasons(tree.size, tree.depth)
        grows = self._parents >= self._with.parents_min and self._children > self._with.reproduction * self._parents
        if grows and tree.size > 1:
            reasons.append("grows")
        return [
            self._alarm(act, tree, reason)
            for reason in reasons
            if self._latch.begins(f"{reason} {'' if reason == 'grows' else tree.root}", act.at_us)
        ]

    def _alarm(self, act: Acted, tree: _Tree, reason: str) -> Alarm:
        facts = {
            "depth": float(tree.depth),
            "size": tree.size,
            "reproduction": self._children / self._parents if self._parents else 0.0,
            "is_escalated": float(reason == "escalate"),
        }
        return Alarm(
            self.name,
            act.at_us,
            tuple(sorted(tree.fields)),
            tuple(sorted({*tree.actors, act.actor})),
            (*tree.calls, *(() if act.call in tree.calls else (act.call,))),
            max(tree.size / self._with.size_min, tree.depth / self._with.depth_escalate),
            f"`{tree.root}` set off {tree.size:g} acts, {tree.depth} deep",
            facts,
        )
