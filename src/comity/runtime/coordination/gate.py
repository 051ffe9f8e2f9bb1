"""The gate *admit*: asks the writer of a component, and says in the kernel's words what it ruled."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from comity.coordination.ruling import Proposal, Ruling
from comity.core.codec import canonical, decode, digest, pack
from comity.core.errors import ComityError, CoordinationError
from comity.core.ids import Id, show_id
from comity.journal.call import Attempt, Call, CallKey, Kind, label_of, ticket_of
from comity.journal.naming import actor_name
from comity.journal.ports import View
from comity.journal.spec import ToolSpec
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.journal.verdict import Allow, Redundant, Refuse, Trim, Verdict, Wait
from comity.runtime.coordination import rows
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.seat import Judged, Seat

AGAIN_US = 1_000_000
"""So soon a component is asked again whose writer cannot be reached; twice as long each time, up to `AGAIN_US_MAX`."""
AGAIN_US_MAX = 64_000_000
READS_MAX = 10_000
"""Of so many calls under way is remembered when they began; what one shows that is forgotten was seen at its end."""
_ALLOW = Allow()

log = logging.getLogger("comity.coordination")


class WorldGate:
    """Judges by the world that is in force; where there is none, everything passes."""

    def __init__(self, coordinator: Coordinator) -> None:
        """Ask `coordinator`."""
        self._of = coordinator
        self._began: dict[tuple[Id, CallKey], int] = {}

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        """Judge a tool's call."""
        if not self._of.generation:
            await self._of.prepare()
        elif self._of.world is not None or self._of.is_behind:
            await self._of.refresh()
        world, tool = self._of.world, view.tool
        if call.kind != Kind.TOOL or tool is None:
            return _ALLOW
        if world is None:
            return self._unjudged(tool)
        try:
            handling = world.tool(tool.name, tool)
        except ComityError as error:
            return Refuse(error.code, error.message, error.hint, error.retry)
        if handling is not None and handling.section.observes:
            self._begins(view.task, call.key, now_us)
        scoped = world.scoped(tool.name)
        if (handling is None or not handling.acts) and not scoped:
            return self._unjudged(tool)
        if not tool.effect.acts:
            if handling is None or not handling.acts:
                return _ALLOW
            reason = f"tool `{tool.name}` is `{tool.effect}` and declares touches"
            return Refuse("misdeclared", reason, "declare the effect class that it has", "never")
        try:
            return await self._judged(call, view, now_us)
        except ComityError as error:
            return Refuse(error.code, error.message, error.hint, error.retry)

    def settle(self, call: Call, attempt: Attempt, view: View) -> Sequence[StateWrite]:
        """Take what a tool saw; what becomes of acts is read from the journal."""
        began_us = self._began.pop((view.task, call.key), 0)
        if view.tool is not None and attempt.end == "done":
            try:
                self._of.saw(call, attempt.value, view, began_us)
            except Exception:  # no fault in this may keep an outcome from being recorded
                log.exception("what `%s` returned could not be noted", call.name)
        return ()

    def _begins(self, task: Id, key: CallKey, now_us: int) -> None:
        """Remember since when a tool may be looking: what it shows was true at some moment from then on."""
        while len(self._began) >= READS_MAX:
            self._began.pop(next(iter(self._began)))
        self._began[task, key] = now_us

    def _unjudged(self, tool: ToolSpec) -> Verdict:
        """Let a call pass of which the world does not speak, if it is the same world still when the call is meant."""
        if not tool.effect.acts:
            return _ALLOW
        return Allow((rows.claims_guard(self._of.generation),), holds=(self._of.hold(),))

    async def _judged(self, call: Call, view: View, now_us: int) -> Verdict:
        assert view.tool is not None
        args = decode(call.args)
        ticket = ticket_of(view.task, call.key, view.round)
        proposal = Proposal(
            call=f"{show_id(view.task)}/{label_of(call.key)}",
            ticket=ticket,
            task=view.task.hex(),
            actor=actor_name(view.tenant, view.agent),
            tool=call.name,
            args=args,
            waits=view.waits,
            reads=self._of.reads_of(view.task),
            caused_by=self._of.cause_of(view.task),
            observation=self._of.observation_of(view.task),
            allowed=await self._allowed(ticket, call.args, view.waits),
            after_seq=view.last_seq,
            undoes=view.undoes,
        )
        try:
            found = await self._of.judge(proposal, view.tool, now_us)
        except CoordinationError as error:
            return Wait(error.message, now_us + min(AGAIN_US << min(view.waits, 30), AGAIN_US_MAX))
        judged, seat = found if found is not None else (None, None)
        ruling = judged.ruling if judged is not None else self._of.undeclared(proposal)
        if ruling is None:
            return self._unjudged(view.tool)
        self._of.told(proposal, ruling, now_us)
        if ruling.word == "admit":
            return self._admitted(ruling, view, judged, seat)
        return await self._turned(proposal, ruling, view)

    async def _turned(self, proposal: Proposal, ruling: Ruling, view: View) -> Verdict:
        """Say in the kernel's words why a call was not let through as it was asked."""
        if ruling.word == "trim":
            return Trim(canonical(ruling.args), f"{ruling.rule}: {ruling.reason}")
        if ruling.word == "defer":
            on = f"{rows.RESERVATION}/{ruling.behind}" if ruling.behind else ""
            return Wait(f"{ruling.rule}: {ruling.reason}", ruling.until_us, on, 1)
        if ruling.word == "redundant":
            value = canonical({"redundant": True, "reason": ruling.reason})
            return Redundant(value, f"{ruling.rule}: {ruling.reason}")
        if ruling.word == "escalate":
            return await self._escalated(proposal, ruling, view)
        return Refuse(f"coordination.{_code(ruling.rule)}", ruling.reason, ruling.remedy)

    def _admitted(self, ruling: Ruling, view: View, judged: Judged | None, seat: Seat | None) -> Verdict:
        if judged is None or seat is None:
            return Allow((rows.document_guard(self._of.version),), holds=(self._of.hold(),), touched=ruling.touched)
        assert ruling.touched is not None
        touched = msgspec.structs.replace(ruling.touched, components=((judged.component, judged.epoch),))
        guards = (
            rows.document_guard(judged.document),
            rows.claims_guard(judged.claims),
            rows.epoch_guard(judged.component, judged.epoch),
        )
        if ruling.flight is None:
            return Allow(guards, holds=(self._of.hold(),), touched=touched)
        row = rows.ReservationRow(ruling.flight, view.task, view.last_seq)
        hold = self._of.hold(seat, ruling.flight.ticket, judged.hold)
        return Allow(guards, (rows.reservation_write(row, judged.void),), (hold,), touched)

    async def _allowed(self, ticket: str, args: bytes, waits: int) -> frozenset[str]:
        """Return the rules that a person let this call pass, with these arguments; who refused is told by `Refused`."""
        if not waits:
            return frozenset()
        found = await self._of.store.states(rows.ESCALATION, f"{ticket}|")
        held = [item for item in map(rows.read_escalation, found) if item.args == args]
        refused = next((item for item in held if item.answer == "refuse"), None)
        if refused is not None:
            raise ComityError(
                "coordination.refused_by_person",
                f"{refused.by or 'a person'} refused it under {refused.rule}",
                retry="rethink",
                hint="do without it, or ask for something else",
            )
        return frozenset(item.rule for item in held if item.answer == "allow")

    async def _escalated(self, proposal: Proposal, ruling: Ruling, view: View) -> Verdict:
        """Ask people, once, and wait for them."""
        args = canonical(proposal.args)
        key = f"{proposal.ticket}|{ruling.rule}|{digest(args).hex()[:16]}"
        asked = rows.EscalationRow(
            ruling.rule,
            ruling.reason,
            view.agent,
            view.task,
            proposal.tool,
            args,
            self._of.clock.wall_us(),
        )
        write = StateWrite(rows.ESCALATION, key, pack(asked), 0)
        self._of.asking[view.task] = None
        await self._of.store.commit([Unit(OperatorSubject("coordination"), state=(write,))])
        row = await self._of.store.state(rows.ESCALATION, key)
        seen = row.version if row is not None and not rows.read_escalation(row).answer else 0
        return Wait(f"{ruling.rule}: a person is asked", None, f"{rows.ESCALATION}/{key}", seen)


def _code(rule: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in rule.casefold()).strip("_")


__all__ = ["WorldGate"]
