"""What operators change of the world: the world file in force, claims, plans, answers to escalations.

Each is one unit that also moves the version which intents are guarded by: once it has committed, nothing that was
judged by the former state is meant any more.
"""

from __future__ import annotations

from comity.coordination.claims import check_claim
from comity.coordination.detectors.baseline import Baseline
from comity.coordination.document import WorldDocument
from comity.coordination.picture import Picture
from comity.coordination.world import World
from comity.core.clock import Clock
from comity.core.codec import pack
from comity.core.errors import UsageError
from comity.core.ids import Id
from comity.journal.ports import Store
from comity.journal.unit import GuardFailed, Message, OperatorSubject, StateWrite, Unit, Wakes
from comity.journal.world import Claim, Plan
from comity.kernel import waiters
from comity.runtime.coordination import rows
from comity.runtime.coordination.coordinator import document_row

CLAIMS_MAX = 1_000
KEPT_US = 3_600_000_000
"""A claim that is over is still shown for an hour."""


class WorldDesk:
    """Orders about the world, of one principal (`who`), to one store."""

    def __init__(self, store: Store, clock: Clock, who: str = "operator") -> None:
        """Order in the name of `who`."""
        self._store = store
        self._clock = clock
        self.who = who

    async def document(self) -> tuple[WorldDocument, int] | None:
        """Return the world file in force and its version; None where there is none."""
        row = await self._store.state(rows.WORLD, rows.DOCUMENT)
        return None if row is None else (rows.read_document(row), row.version)

    async def apply(self, document: WorldDocument, text: str = "") -> int:
        """Put a world file in force; return its version. The same one again changes nothing.

        Raises:
            UsageError: it does not fit together.
        """
        World(document)
        while True:
            row = await self._store.state(rows.WORLD, rows.DOCUMENT)
            if row is not None and rows.read_document(row) == document:
                return row.version
            seen = row.version if row is not None else 0
            value = document_row(document, self.who, self._clock.wall_us(), text)
            if await self._write(StateWrite(rows.WORLD, rows.DOCUMENT, value, seen)):
                return seen + 1

    async def claims(self) -> list[Claim]:
        """Return the claims, oldest first."""
        found = [row for row in await self._store.states(rows.CLAIM) if row.key != rows.GENERATION]
        return sorted((rows.read_claim(row) for row in found), key=lambda claim: (claim.since_us, claim.id))

    async def claim(self, claim: Claim) -> Claim:
        """Make a claim.

        Raises:
            UsageError: it is too broad, too long, one too many, or another's.
        """
        is_made = False
        while not is_made:
            now_us = self._clock.wall_us()
            picture = Picture(await self._world())
            seen = await self._store.state(rows.CLAIM, rows.GENERATION)
            held = await self.claims()
            picture.claims = {item.id: item for item in held if item.until_us > now_us}
            if len(picture.claims) >= CLAIMS_MAX:
                hint = "`comity claims ls` lists them"
                raise UsageError("too_many_claims", f"there are {CLAIMS_MAX} claims", hint=hint)
            check_claim(claim, picture, now_us)
            old = [StateWrite(rows.CLAIM, item.id, None) for item in held if item.until_us + KEPT_US < now_us]
            made = StateWrite(rows.CLAIM, claim.id, pack(claim))
            # Invariant: of two claims that exclude each other, one sees the other before it is made.
            is_made = await self._write(made, *old, seen=seen.version if seen is not None else 0)
        return claim

    async def end_claim(self, id: str) -> Claim:
        """End a claim now.

        Raises:
            UsageError: there is none, or it is over.
        """
        now_us = self._clock.wall_us()
        found = next((item for item in await self.claims() if item.id == id and item.until_us > now_us), None)
        if found is None:
            hint = "`comity claims ls` lists those in force"
            raise UsageError("no_such_claim", f"no claim `{id}` is in force", hint=hint)
        await self._write(StateWrite(rows.CLAIM, id, None))
        return found

    async def plan(self, plan: Plan) -> Plan:
        """Issue a plan.

        Raises:
            UsageError: its scope covers nothing, or it has an end already.
        """
        await self._world()
        if plan.until_us <= self._clock.wall_us() or plan.steps < 1:
            raise UsageError("plan_over", f"plan `{plan.id}` would have no time or no steps", hint="give it some")
        if not await self._write(StateWrite(rows.PLAN, plan.id, pack(plan), 0)):
            raise UsageError("plan_exists", f"there is a plan `{plan.id}` already", hint="take another id")
        return plan

    async def plans(self) -> list[Plan]:
        """Return the plans that are not over, by id."""
        now_us = self._clock.wall_us()
        found = [rows.read_plan(row) for row in await self._store.states(rows.PLAN)]
        return [plan for plan in found if plan.until_us > now_us]

    async def baseline(self) -> Baseline:
        """Return what was signed off as usual."""
        return rows.read_baseline(await self._store.state(rows.WORLD, rows.BASELINE))

    async def sign(self, proposed: Baseline) -> Baseline:
        """Sign off as usual what was learned; every node's detectors measure by it from now on.

        Raises:
            UsageError: nothing was learned yet.
        """
        signed = proposed.freeze(self.who, self._clock.wall_us())
        await self._write(StateWrite(rows.WORLD, rows.BASELINE, pack(signed)))
        return signed

    async def escalations(self) -> list[tuple[str, rows.EscalationRow]]:
        """Return the calls that wait for a person's word, oldest first."""
        found = [(row.key, rows.read_escalation(row)) for row in await self._store.states(rows.ESCALATION)]
        return sorted((item for item in found if not item[1].answer), key=lambda item: item[1].asked_us)

    async def answer(self, key: str, *, allow: bool) -> None:
        """Say whether a call may pass the rule that it was escalated under; wakes its task.

        Raises:
            UsageError: nobody asks that, or it was answered.
        """
        row = await self._store.state(rows.ESCALATION, key)
        asked = rows.read_escalation(row) if row is not None else None
        if row is None or asked is None or asked.answer:
            raise UsageError("not_asked", f"nobody asks `{key}`", hint="`comity questions ls` lists what is asked")
        word = "allow" if allow else "refuse"
        told = rows.EscalationRow(
            asked.rule, asked.reason, asked.agent, asked.task, asked.tool, asked.args, asked.asked_us, word, self.who
        )
        on = f"{rows.ESCALATION}/{key}"
        drops, sends = await self._told(on, word)
        write = StateWrite(rows.ESCALATION, key, pack(told), row.version)
        (answer,) = await self._store.commit([Unit(OperatorSubject(self.who), state=(write, *drops), sends=sends)])
        if isinstance(answer, GuardFailed):
            raise UsageError("not_asked", f"somebody else has answered `{key}`", hint="look again")
        drops, sends = await self._told(on, word)  # who began to wait while the answer was on its way
        if sends:
            await self._store.commit([Unit(OperatorSubject(self.who), state=drops, sends=sends)])

    async def withdraw(self, task: Id) -> None:
        """Let nobody be asked any more on behalf of a task that has ended."""
        found = await self._store.states(rows.ESCALATION, f"{task.hex()}/")
        for row in found:
            found += await self._store.states(waiters.NAMESPACE, f"{rows.ESCALATION}/{row.key}|")
        drops = tuple(StateWrite(row.namespace, row.key, None) for row in found)
        if drops:
            await self._store.commit([Unit(OperatorSubject(self.who), state=drops)])

    async def end_claims_of(self, task: str, until_us: int) -> list[Claim]:
        """End the claims that a task made up to `until_us`, when it ended; there may be none."""
        found = [claim for claim in await self.claims() if claim.task == task and claim.since_us <= until_us]
        if found:
            await self._write(*(StateWrite(rows.CLAIM, claim.id, None) for claim in found))
        return found

    async def _told(self, on: str, word: str) -> tuple[tuple[StateWrite, ...], tuple[Message, ...]]:
        """Return what tells those who wait for the row `on` that it says something now."""
        found = await self._store.states(waiters.NAMESPACE, f"{on}|")
        tasks = [bytes.fromhex(item.key.rpartition("|")[2]) for item in found]
        sends = tuple(Message(task, f"{on}:{word}", waiters.KIND, on, b"null", Wakes.WAITING) for task in tasks)
        return tuple(StateWrite(waiters.NAMESPACE, item.key, None) for item in found), sends

    async def _world(self) -> World:
        found = await self.document()
        if found is None:
            raise UsageError("no_world", "no world is in force", hint="`comity world apply FILE`")
        return World(found[0])

    async def _write(self, *writes: StateWrite, seen: int | None = None) -> bool:
        moved = StateWrite(rows.CLAIM, rows.GENERATION, b"null", seen)
        (answer,) = await self._store.commit([Unit(OperatorSubject(self.who), state=(*writes, moved))])
        return not isinstance(answer, GuardFailed)
