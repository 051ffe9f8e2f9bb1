"""Play a row: start its program as an agent, strike at the place that the fault names, go on as its kind does, count.

A program that crashes is adopted anew and started again, as `comity run --` does; what is in doubt is settled by an
operator who looks into the tally. Nothing here waits for a time, only for places and ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from comity.testing.waiting import wait_until
from conformance.lane import Adopted, Lane
from conformance.processes import Agent, show, tail
from conformance.rows import BOOK, PAY, THOUGHT, Row
from conformance.script import GOAL, TWINS, answer

PLACE_S = 120.0
INCARNATIONS_MAX = 6
CLIENT_TIMEOUT_S = "1.0"
THOUGHTS = 4
STRUCK = 1
"""Faults of a thought hit the second one, which proposes the booking; faults of an effect the act of that name."""


@dataclass
class Run:
    """One row at work; `told` is its story for a failure's message."""

    row: Row
    lane: Lane
    adopted: Adopted
    agent: Agent | None = None
    told: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """Return the reference that the task's goal names."""
        return self.row.name

    def note(self, text: str) -> None:
        """Add to the story."""
        self.told.append(text)

    # ---- the agent ----

    def start(self) -> None:
        """Start the program as the present incarnation."""
        front, token = self.lane.front.url, self.adopted.token
        environment = {
            **self.row.program.variables(is_stream=self.row.is_stream),
            "OPENAI_BASE_URL": f"{front}/v1",
            "OPENAI_API_KEY": token,
            "ANTHROPIC_BASE_URL": front,
            "ANTHROPIC_API_KEY": token,
            "MCP_URL": f"{front}/t/{token}/mcp",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
        }
        if self.row.fault.startswith("client-"):
            environment["TIMEOUT_S"] = CLIENT_TIMEOUT_S
        log = self.lane.folder / f"{self.ref}.{self.adopted.incarnation}.log"
        goal = TWINS if self.is_twins else GOAL
        self.agent = Agent(self.row.program, goal.format(ref=self.ref), environment, log)
        self.note(f"incarnation {self.adopted.incarnation} starts")

    def kill(self) -> None:
        """Kill the program."""
        assert self.agent is not None
        assert self.agent.is_alive, f"it ended by itself:\n{tail(self.agent.log)}"
        self.agent.kill()
        self.note("the agent is killed")

    async def start_again(self) -> None:
        """Adopt the program anew, and start it."""
        assert self.adopted.incarnation < INCARNATIONS_MAX, "it crashes again and again"
        self.adopted = await self.lane.adopt(self.adopted.task, renew=True)
        self.start()

    @property
    def is_alive(self) -> bool:
        """Tell whether the program runs."""
        return self.agent is not None and self.agent.is_alive

    def asked(self, kind: str) -> int:
        """Return how often the present incarnation has asked for a `model` or `tool`."""
        return self.lane.front.seen(self.adopted.token, kind)

    async def until_asked(self, kind: str, times: int) -> None:
        """Wait until the present incarnation has asked that often, or has ended."""
        await wait_until(
            lambda: not self.is_alive or self.asked(kind) >= times, PLACE_S, f"request {times} for a {kind}"
        )
        self.note(f"{self.asked(kind)} requests for a {kind}, the agent {'lives' if self.is_alive else 'has ended'}")

    # ---- places ----

    def place(self, act: str) -> str:
        """Return an act with what it is about, as gates name it."""
        return f"thought {self.ref}/{STRUCK}" if act == THOUGHT else f"{act} {self.ref}"

    async def reach(self, gate: str) -> None:
        """Start the program with a gate held, and wait until something stands there."""
        tally = self.lane.world.tally
        tally.hold(gate)
        self.start()
        await self.come_to(lambda: bool(tally.waiting(gate)), gate)
        self.note(f"reached: {gate}")

    async def come_to(self, place: Callable[[], bool], what: str) -> None:
        """Wait until the program has brought something to a place; it does not end before."""
        await wait_until(lambda: place() or not self.is_alive, PLACE_S, what)
        assert place(), f"the agent ended before it reached: {what}"

    async def open(self, gate: str) -> None:
        """Open a gate, and wait until everybody has gone."""
        tally = self.lane.world.tally
        tally.open(gate)
        await wait_until(lambda: not tally.waiting(gate), PLACE_S, f"nobody at {gate}")

    # ---- the end ----

    async def follow(self) -> None:
        """Go on until the program has answered: settle doubts, start it again where it crashed."""
        while True:
            await wait_until(self._needs_help, PLACE_S * 2, "the program's end")
            assert self.agent is not None
            await self._settle_doubts()
            if self.agent.is_alive:
                continue
            code = await self.agent.wait()
            self.note(f"the agent ended with {code}")
            if code == 0:
                return
            await self.start_again()

    async def _needs_help(self) -> bool:
        if not self.is_alive:
            return True
        return self.may_doubt and bool((await self.lane.show(self.adopted.task))["in_doubt"])

    @property
    def is_twins(self) -> bool:
        """Tell whether the model books two rooms in one thought."""
        return self.row.fault.startswith("twins")

    @property
    def may_doubt(self) -> bool:
        """Tell whether this row may leave an effect in doubt."""
        return self.row.fault.startswith(("node-intent-effect", "node-effect-outcome"))

    async def _settle_doubts(self) -> None:
        task = await self.lane.show(self.adopted.task)
        if task["state"] != "parked" or task["reason"] != "in_doubt":
            return
        for call in task["calls"]:
            if call["call"] not in task["in_doubt"]:
                continue
            name = call["name"].rpartition(".")[2]
            self.doubts.append(name)
            happened = name in self.lane.world.acts(self.ref)
            self.note(f"in doubt: {name}, which {'happened' if happened else 'did not happen'}")
            text = {"book": "booked", "pay": "paid"}[name] + f" {self.ref}"
            if happened:
                await self.lane.resolve(self.adopted.task, call["call"], "happened", text)
            else:
                await self.lane.resolve(self.adopted.task, call["call"], "again")


# ---- faults -------------------------------------------------------------------------------------------------


async def nothing(run: Run) -> None:
    """Meet no fault."""
    run.start()


async def upstream_503(run: Run) -> None:
    """Have the upstream refuse the struck thought once."""
    async with httpx2.AsyncClient() as http:
        plan = {"thought": f"{run.ref}/{STRUCK}", "kind": "503", "times": 1}
        (await http.post(f"{run.lane.world.upstream.url}/faults", json=plan)).raise_for_status()
    run.start()


def agent_at(gate: str, asks: str, times: int) -> Callable[[Run], Awaitable[None]]:
    """Return the fault that kills the agent at a gate; it opens once the next incarnation has asked as often."""

    async def strike(run: Run) -> None:
        at = gate.format(ref=run.ref)
        await run.reach(at)
        run.kill()
        await run.start_again()
        await run.until_asked(asks, times)
        await run.open(at)

    return strike


def node_at(when: str, act: str) -> Callable[[Run], Awaitable[None]]:
    """Return the fault that kills the node while an act stands at its gate, and starts it again."""

    async def strike(run: Run) -> None:
        at = f"middle {run.ref}/{STRUCK}" if when == "middle" else f"{when} {run.place(act)}"
        await run.reach(at)
        run.lane.node.kill()
        run.note("the node is killed")
        await run.open(at)
        run.lane.node.start()

    return strike


def node_in_commit(phase: str, when: str, act: str) -> Callable[[Run], Awaitable[None]]:
    """Return the fault that kills the node before or after the commit of an act's intent or outcome."""

    async def strike(run: Run) -> None:
        node = run.lane.node
        look = f"look {run.ref}"
        await run.reach(look)  # the first thought is over, the struck one yet to come
        kind, name = ("model", "") if act == THOUGHT else ("tool", act)
        node.plan_death(task=run.adopted.task, kind=kind, name=name, phase=phase, when=when)
        await run.open(look)
        await wait_until(lambda: not node.is_up, PLACE_S, f"the node's death {when} the {phase} of {act}")
        run.note(f"the node died {when} the {phase} of {act}")
        node.start()

    return strike


def client_times_out(act: str) -> Callable[[Run], Awaitable[None]]:
    """Return the fault that holds an act until its client has given up and asked again, or has ended."""

    async def strike(run: Run) -> None:
        at = f"after {run.place(act)}"
        await run.reach(at)
        kind = "model" if act == THOUGHT else "tool"
        await run.until_asked(kind, run.asked(kind) + 1)
        await run.open(at)

    return strike


def last_byte_is_late(act: str) -> Callable[[Run], Awaitable[None]]:
    """Return the fault that holds the last byte of an answer until its client has given up."""

    async def strike(run: Run) -> None:
        front, token, kind = run.lane.front, run.adopted.token, "model" if act == THOUGHT else "tool"
        front.hold(token, kind, 2)
        run.start()
        await run.come_to(lambda: front.is_held(token, kind, 2), f"the last byte of {act}")
        run.note("the last byte is held")
        await run.until_asked(kind, 3)
        front.release(token, kind, 2)

    return strike


FAULTS: dict[str, Callable[[Run], Awaitable[None]]] = {
    "none": nothing,
    "twins": nothing,
    "twins-agent-after-effect": agent_at("after book {ref}-b", "tool", 2),
    "upstream-503": upstream_503,
    "agent-before-reply": agent_at("after thought {ref}/1", "model", 2),
    "agent-mid-stream": agent_at("middle {ref}/1", "model", 2),
    "agent-after-effect": agent_at("after book {ref}", "tool", 2),
    "agent-after-outcome": agent_at("before thought {ref}/2", "model", 3),
    "node-mid-stream-thought": node_at("middle", THOUGHT),
}
for _act in (THOUGHT, BOOK, PAY):
    FAULTS[f"node-before-intent-{_act}"] = node_in_commit("intent", "before", _act)
    FAULTS[f"node-intent-effect-{_act}"] = node_at("before", _act)
    FAULTS[f"node-effect-outcome-{_act}"] = node_at("after", _act)
    FAULTS[f"node-outcome-reply-{_act}"] = node_in_commit("outcome", "after", _act)
for _act in (THOUGHT, BOOK):
    FAULTS[f"client-timeout-{_act}"] = client_times_out(_act)
    FAULTS[f"client-last-byte-{_act}"] = last_byte_is_late(_act)


# ---- what must hold -----------------------------------------------------------------------------------------


def may_think_twice(row: Row) -> bool:
    """Tell whether the struck thought may be asked of the upstream twice: the node died while it was being made."""
    return row.fault in ("node-intent-effect-thought", "node-effect-outcome-thought", "node-mid-stream-thought")


def must_doubt(row: Row) -> bool:
    """Tell whether an irreversible effect was under way when the node died."""
    return row.fault in (f"node-intent-effect-{BOOK}", f"node-effect-outcome-{BOOK}")


async def check(run: Run) -> None:
    """Hold that everything happened once, and that the task ended as it should."""
    assert run.agent is not None
    acts = Counter(run.lane.world.acts(run.ref))
    effects = {act: number for act, number in acts.items() if not act.startswith("thought")}
    assert effects == dict.fromkeys(("book-a", "book-b", "pay") if run.is_twins else ("book", "pay"), 1), acts
    struck = f"thought/{STRUCK} "
    allowed = 2 if may_think_twice(run.row) else 1
    doubled = {act: number for act, number in acts.items() if number > (allowed if act.startswith(struck) else 1)}
    assert not doubled, acts
    numbers = {act.split()[0] for act in acts if act.startswith("thought")}
    assert len(numbers) >= THOUGHTS or not run.row.program.wire, acts
    assert run.agent.answer == answer(run.ref)
    assert run.doubts == (["book"] if must_doubt(run.row) else []), run.doubts
    assert b"ct_" not in run.lane.world.upstream.log.read_bytes(), "the upstream was shown a program's token"
    await run.lane.finish(run.adopted.task, run.agent.answer)
    await wait_until(lambda: _is_over(run), PLACE_S, "the task's end")
    task = await run.lane.show(run.adopted.task)
    assert (task["state"], task["result"]) == ("succeeded", run.agent.answer)


async def _is_over(run: Run) -> bool:
    return (await run.lane.show(run.adopted.task))["state"] in ("succeeded", "failed", "cancelled")


async def play(row: Row, lane: Lane) -> Run:
    """Play a row to its end.

    Raises:
        AssertionError: Something did not hold; its notes tell the story, with the logs of all processes.
    """
    marks = lane.marks()
    run = Run(row, lane, await lane.create(row.tools, row.name))
    try:
        await FAULTS[row.fault](run)
        await run.follow()
        await check(run)
    except AssertionError as error:
        error.add_note(await story(run, marks))
        raise
    finally:
        if run.is_alive and run.agent is not None:
            run.agent.kill()
        if not lane.node.is_up:
            lane.node.plan.unlink(missing_ok=True)
            lane.node.start()
    return run


async def story(run: Run, marks: dict[Path, int]) -> str:
    """Return what became of a row, with the logs of its processes since `marks`, for a failure's message."""
    lines = [f"row: {run.row.name}", f"task: {run.adopted.task}", *run.told]
    lines.append(f"tally: {', '.join(run.lane.world.acts(run.ref))}")
    try:
        task = await run.lane.show(run.adopted.task)
        lines.append(f"state: {task['state']} {task['reason']} {task['detail']}")
        lines += [f"call {call['call']} {call['kind']} {call['name']} {call['phase']}" for call in task["calls"]]
    except (AssertionError, StopIteration, httpx2.HTTPError) as error:
        lines.append(f"the task cannot be shown: {error}")
    own = {} if run.agent is None else {run.agent.log: 0}
    return "\n".join([*lines, show({**own, **marks})])
