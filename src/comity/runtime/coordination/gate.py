"""The gate *admit*: asks the writer of a component, and says in the kernel's words what it ruled."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from comity.coordination.ruling import Proposal, Ruling
from comity.core.codec import canonical, decode, pack
from comity.core.errors import ComityError, CoordinationError
from comity.core.ids import show_id
from comity.journal.call import Attempt, Call, Kind
from comity.journal.ports import View
from comity.journal.unit import OperatorSubject, StateWrite, Unit
from comity.journal.verdict import Allow, Redundant, Refuse, Trim, Verdict, Wait
from comity.runtime.coordination import rows
from comity.runtime.coordination.coordinator import Coordinator
from comity.runtime.coordination.seat import Judged, Seat

AGAIN_US = 1_000_000
"""So soon a component is asked again whose writer cannot be reached."""
_ALLOW = Allow()


class WorldGate:
    """Judges by the world that is in force; where there is none, everything passes."""

    def __init__(self, coordinator: Coordinator) -> None:
        """Ask `coordinator`."""
        self._of = coordinator

    async def judge(self, call: Call, view: View, now_us: int) -> Verdict:
        """Judge a tool's call."""
        if self._of.world is not None:
            await self._of.refresh()
        world, tool = self._of.world, view.tool
        if world is None or call.kind != Kind.TOOL or tool is None:
            return _ALLOW
        try:
            handling = world.tool(tool.name, tool)
        except ComityError as error:
            return Refuse(error.code, error.message, error.hint, error.retry)
        scoped = world.scoped(tool.name)
        if (handling is None or not handling.acts) and not scoped:
            return _ALLOW
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
        """Take what a read tool saw; what becomes of acts is read from the journal."""
        if view.tool is not None and attempt.end == "done":
            self._of.saw(call, attempt.value, view)
        return ()

    async def _judged(self, call: Call, view: View, now_us: int) -> Verdict:
        assert view.tool is not None
        args = decode(call.args)
        label = _label(call)
        ticket = f"{view.task.hex()}/{label}#{view.round}"
        proposal = Proposal(
            call=f"{show_id(view.task)}/{label}",
            ticket=ticket,
            task=view.task.hex(),
            actor=view.agent,
            tool=call.name,
            args=args,
            tenant=view.tenant,
            waits=view.waits,
            reads=self._of.reads_of(view.task),
            caused_by=self._of.cause_of(view.task),
            observation=self._of.observation_of(view.task),
            allowed=await self._allowed(ticket, view.waits),
        )
        try:
            found = await self._of.judge(proposal, view.tool, now_us)
        except CoordinationError as error:
            return Wait(error.message, now_us + AGAIN_US)
        judged, seat = found if found is not None else (None, None)
        ruling = judged.ruling if judged is not None else self._of.undeclared(proposal)
        if ruling is None:
            return _ALLOW
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
            return Allow(touched=ruling.touched)
        assert ruling.touched is not None
        touched = msgspec.structs.replace(ruling.touched, components=((judged.component, judged.epoch),))
        guards = (
            rows.document_guard(judged.document),
            rows.claims_guard(judged.claims),
            rows.epoch_guard(judged.component, judged.epoch),
        )
        if ruling.flight is None:
            return Allow(guards, touched=touched)
        row = rows.ReservationRow(ruling.flight, view.task, view.last_seq)
        hold = self._of.hold(seat, ruling.flight.ticket)
        return Allow(guards, (rows.reservation_write(row),), (hold,), touched)

    async def _allowed(self, ticket: str, waits: int) -> frozenset[str]:
        """Return the rules that a person let this call pass; a person who refused is told by `Refused`."""
        if not waits:
            return frozenset()
        found = await self._of.store.states(rows.ESCALATION, f"{ticket}|")
        held = [rows.read_escalation(row) for row in found]
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
        key = f"{proposal.ticket}|{ruling.rule}"
        asked = rows.EscalationRow(
            ruling.rule,
            ruling.reason,
            view.agent,
            view.task,
            proposal.tool,
            canonical(proposal.args),
            self._of.clock.wall_us(),
        )
        write = StateWrite(rows.ESCALATION, key, pack(asked), 0)
        await self._of.store.commit([Unit(OperatorSubject("coordination"), state=(write,))])
        row = await self._of.store.state(rows.ESCALATION, key)
        seen = row.version if row is not None and not rows.read_escalation(row).answer else 0
        return Wait(f"{ruling.rule}: a person is asked", None, f"{rows.ESCALATION}/{key}", seen)


def _label(call: Call) -> str:
    return ":".join((call.branch, call.name, str(call.occurrence)))


def _code(rule: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in rule.casefold()).strip("_")


__all__ = ["WorldGate"]
