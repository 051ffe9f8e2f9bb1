"""A small world for recall: a journal, a kernel that performs, a visit, and a deterministic program of several strands.

The world can be stepped in any order, and both program and node may die between any two steps. What the kernel
performed is counted apart from what recall believes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from comity.core.codec import Digest, canonical, decode, digest
from comity.gateway.keys import Keys
from comity.gateway.proposals import Proposal
from comity.gateway.question import Question, exact_thought
from comity.gateway.recall import Differs, New, OutsideRecall, Recalled, Same
from comity.journal.call import CallKey, Delivered, Kind, Status
from comity.journal.protocol import Recorded
from comity.journal.recall import key_of
from comity.journal.segment import EMPTY_HEAD, head_after
from comity.journal.spec import Outside

MODEL = "m"
POLL = "poll"
"""The tool that tells something new each time; of others it is not promised who of two that ask the same gets which."""


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool that a model proposes, or that a program makes of itself."""

    name: str
    args: str
    acts: bool = True

    @property
    def data(self) -> bytes:
        return canonical({"x": self.args})


@dataclass(frozen=True)
class Turn:
    """What a model proposes in one answer; whether the program makes the calls at once; what it then reads."""

    calls: tuple[ToolCall, ...] = ()
    at_once: bool = True
    reads: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class Script:
    """One strand of a program: its input, and what the model will propose to it turn by turn, then nothing more."""

    label: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Plan:
    """A program: strands, how many of them run at a time, and whether its system text tells the time of day."""

    scripts: tuple[Script, ...]
    width: int = 9
    has_clock: bool = False

    def effects(self) -> Counter[tuple[str, str]]:
        """Return what an undisturbed run performs."""
        calls = (call for script in self.scripts for turn in script.turns for call in turn.calls if call.acts)
        return Counter((call.name, call.args) for call in calls)

    def thoughts(self) -> int:
        """Return how many thoughts an undisturbed run has."""
        return sum(len(script.turns) + 1 for script in self.scripts)


def thought(
    messages: list[tuple[str, str]],
    *,
    masked: list[tuple[str, str]] | None = None,
    is_retry: bool = False,
    rest: str = "{}",
) -> Question:
    """Return the question that asks a model to go on with a conversation of (role, text)."""
    heads: list[Digest] = []
    for role, text in messages:
        heads.append(head_after(heads[-1] if heads else EMPTY_HEAD, (digest(canonical([role, text])),)))
    mask = digest(canonical(masked)) if masked is not None else b""
    roles = tuple(role for role, _ in messages)
    args = {
        "model": MODEL,
        "head": heads[-1].hex(),
        "wire": "chat",
        "rest": rest,
        "mask": mask.hex(),
        "roles": roles,
    }
    exact = exact_thought("chat", MODEL, heads[-1].hex(), rest.encode())
    return Question(Kind.MODEL, MODEL, canonical(args), exact, mask, roles, is_retry=is_retry, heads=tuple(heads))


def tool(call: ToolCall) -> Question:
    """Return the question that calls a tool."""
    return Question(Kind.TOOL, call.name, call.data, acts=call.acts)


@dataclass
class Row:
    """A call as the journal has it."""

    seq: int
    key: CallKey
    question: Question
    args: bytes
    incarnation: int
    consumed: int
    order: int = 0
    delivered: Delivered | None = None

    def recorded(self) -> Recorded:
        """Return it as a door is told of it."""
        head = self.question.heads[-1] if self.question.heads else EMPTY_HEAD
        return Recorded(
            self.seq,
            *self.key,
            digest(self.args),
            self.order,
            self.delivered,
            head,
            self.args,
            self.incarnation,
            self.consumed,
        )


class Kernel:
    """Journals and performs. An effect and a thought have an entry before they are performed, a read only after."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seq = 0
        self.rows: dict[CallKey, Row] = {}
        self.flights: dict[CallKey, Row] = {}
        self.performed: Counter[tuple[str, str]] = Counter()
        self.thoughts = 0

    def history(self) -> tuple[Recorded, ...]:
        return tuple(row.recorded() for row in sorted(self.rows.values(), key=lambda row: row.seq))

    def ask(self, key: CallKey, question: Question, args: bytes, incarnation: int, consumed: int) -> bool:
        """Take a call; tell whether the journal has its outcome already."""
        known = self.flights.get(key) or self.rows.get(key)
        if known is not None:
            assert known.args == args, "two calls under one key"
            return known.delivered is not None
        self.seq += 1
        row = Row(self.seq, key, question, args, incarnation, consumed)
        self.flights[key] = row
        if question.is_thought or question.is_effect:
            self.rows[key] = row
        self.thoughts += question.is_thought
        if question.is_effect:
            self.performed[question.name, decode(args)["x"]] += 1
        return False

    def settle(self, key: CallKey) -> Row:
        row = self.flights.pop(key)
        self.seq += 1
        if key not in self.rows:
            row.seq = self.seq
            self.rows[key] = row
        row.order = self.seq
        row.delivered = Delivered(Status.DONE, canonical(self._answer(row)))
        return row

    def crash(self) -> None:
        """Forget the reads in flight; what has an intent is resolved later."""
        self.flights = {key: row for key, row in self.flights.items() if key in self.rows}

    def _answer(self, row: Row) -> object:
        if row.question.is_thought:
            return {"thought": row.seq}
        return f"news {row.order}" if row.question.name == POLL else f"{row.question.name} done"


def proposals_in(plan: Plan, question: Question, scripts: dict[str, Script], label: str) -> tuple[ToolCall, ...]:
    """Return what the model proposes to a strand at this point of its conversation."""
    done = sum(role == "assistant" for role in question.roles)
    turns = scripts[label].turns
    return turns[done].calls if done < len(turns) else ()


@dataclass(eq=False)
class Client:
    """One request of the program, until it has its answer."""

    question: Question
    strand: Strand
    index: int
    label: str = ""
    state: str = "asking"
    key: CallKey | None = None
    is_held: bool = False
    held_at: int = -1


Wanted = list[tuple[Question, str]]


@dataclass(eq=False)
class Strand:
    """A strand that runs: the requests that it waits for."""

    script: Script
    steps: Generator[Wanted, list[object], None]
    clients: list[Client] = field(default_factory=list)
    results: list[object] = field(default_factory=list)
    is_over: bool = False


class Parked(Exception):
    """The program and its journal disagree."""


class World:
    """The program, its node and the kernel, stepped from outside."""

    def __init__(self, plan: Plan, retry_join_s: float = 2.0) -> None:
        self.plan = plan
        self.scripts = {script.label: script for script in plan.scripts}
        self.terms = Outside(retry_join_s=retry_join_s)
        self.kernel = Kernel(plan)
        self.now_s = 0.0
        self.incarnation = 0
        self.clock = 0
        self.taken = 0
        self.labels: dict[bytes, str] = {}
        self.reports: list[tuple[str, CallKey]] = []
        self.handed: Counter[CallKey] = Counter()
        self.how: Counter[str] = Counter()
        self.start_program()

    # The program

    def start_program(self, keys: Keys | None = None) -> None:
        """Begin the program, or begin it again at the node that knows `keys`."""
        self.incarnation += 1
        self.handed.clear()
        self.strands = [Strand(script, self._steps(script)) for script in self.plan.scripts]
        self.start_node(keys, is_resumed=False)
        for _ in range(self.plan.width):
            self._next_strand()

    def start_node(self, keys: Keys | None = None, *, is_resumed: bool = True) -> None:
        """Begin a visit; whoever waited asks again."""
        self.reports.clear()
        self.recall = OutsideRecall(
            self.kernel.history(), self.incarnation, self.terms, self.now_s, keys=keys, is_resumed=is_resumed
        )
        for client in self.clients():
            client.state = "asking"
        self._began()

    def renew(self) -> None:
        """Begin another visit of the same program at the same node."""
        self.recall = self.recall.renewed(self.kernel.history(), self.now_s)
        self._began()

    def _began(self) -> None:
        self.pending = {key: row.delivered for key, row in self.kernel.rows.items()}
        for row in self.kernel.rows.values():
            self._propose(row)
        for client in self.clients():
            if client.key is None or self.pending.get(client.key) is None or client.state == "asking":
                client.state, client.key = "asking", None

    def clients(self) -> Iterator[Client]:
        return (client for strand in self.strands for client in strand.clients if client.state != "done")

    def _next_strand(self) -> None:
        running = sum(bool(strand.clients) and not strand.is_over for strand in self.strands)
        for strand in self.strands:
            if running < self.plan.width and not strand.clients and not strand.is_over:
                self._go_on(strand, None)
                return

    def _go_on(self, strand: Strand, results: list[object] | None) -> None:
        try:
            wanted = strand.steps.send(results) if results is not None else next(strand.steps)
        except StopIteration:
            strand.is_over, strand.clients = True, []
            self._next_strand()
            return
        strand.results = [None] * len(wanted)
        strand.clients = [Client(question, strand, n, label) for n, (question, label) in enumerate(wanted)]

    def _steps(self, script: Script) -> Generator[Wanted, list[object], None]:
        self.clock += 1
        said = [("system", f"it is {self.clock if self.plan.has_clock else 0} o'clock"), ("user", script.label)]
        for turn in script.turns:
            answer = yield [(self._thought(said), script.label)]
            said.append(("assistant", str(answer[0])))
            for group in [turn.calls] if turn.at_once else [(call,) for call in turn.calls]:
                if group:
                    results = yield [(tool(call), "") for call in group]
                    said += [("tool", str(result)) for result in results]
            for read in turn.reads:
                result = yield [(tool(read), "")]
                said.append(("tool", str(result[0])))
        yield [(self._thought(said), script.label)]

    def _thought(self, said: list[tuple[str, str]]) -> Question:
        return thought(said, masked=[("system", ""), *said[1:]])

    # The visit

    def ask(self, client: Client, *, is_retry: bool = False) -> None:
        """Let a client's request reach the door."""
        question = client.question
        if is_retry:
            fields = {name: getattr(question, name) for name in Question.__struct_fields__}
            question = Question(**{**fields, "is_retry": True})
        found = self.recall.match(question, self.now_s)
        client.is_held = isinstance(found, Differs)
        self.how[type(found).__name__] += 1
        if isinstance(found, Differs):
            client.held_at = self.taken
            if self.now_s >= found.until_s:
                raise Parked(f"asked {question.roles}, recorded {found.record}")
            return
        if isinstance(found, Recalled):
            self.taken += 1
            self.how[found.how] += 1
            client.key = key_of(found.record)
            self._propose(self.kernel.rows[client.key])
        elif isinstance(found, Same):
            client.key = found.key
        else:
            client.key = found.key
            self._begin_call(found, client)
        client.state = "waiting"

    def _begin_call(self, new: New, client: Client) -> None:
        self.recall.asked(new, client.question)
        call = client.question.call(new.key, self.recall.consumed, new.after)
        self.pending[new.key] = None
        self.labels[client.question.exact] = client.label
        if self.kernel.ask(new.key, client.question, call.args, self.incarnation, call.consumed):
            self._settled(self.kernel.rows[new.key])

    def _propose(self, row: Row) -> None:
        if row.question.is_thought and row.delivered is not None and self.recall.is_asked(row.key):
            label = self.labels[row.question.exact]
            calls = proposals_in(self.plan, row.question, self.scripts, label)
            self.recall.proposed(row.key, [Proposal(f"mcp__{call.name}", digest(call.data)) for call in calls])

    def settle(self, key: CallKey) -> None:
        """End a call; the visit is told."""
        self._settled(self.kernel.settle(key))

    def _settled(self, row: Row) -> None:
        assert row.delivered is not None
        if row.key in self.pending:
            self.pending[row.key] = row.delivered
        self.recall.settled(row.key, row.order, row.delivered, self.now_s)
        self._propose(row)

    # What happens at the other end of the connections

    def hand_over(self, client: Client, *, is_seen: bool = True) -> None:
        """Give a client its answer; where that is not seen yet, it is reported later."""
        assert client.key is not None
        delivered = self.pending[client.key]
        assert delivered is not None
        if is_seen:
            self.recall.handed_over(client.key, self.now_s)
        else:
            self.reports.append(("had", client.key))
        self.handed[client.key] += 1
        strand = client.strand
        client.state = "done"
        strand.results[client.index] = decode(delivered.value)
        if all(item.state == "done" for item in strand.clients):
            self._go_on(strand, strand.results)

    def lose_last_byte(self, client: Client) -> None:
        """Let the answer be gone out, and never arrive: the client asks again."""
        assert client.key is not None
        self.recall.handed_over(client.key, self.now_s)
        client.state, client.key = "asking", None

    def leave(self, client: Client, *, is_seen: bool = True) -> None:
        """Let a client give up before its answer; it asks again."""
        assert client.key is not None
        if is_seen:
            self.recall.left(client.key)
        else:
            self.reports.append(("left", client.key))
        client.state, client.key = "asking", None

    def report(self) -> None:
        """Let the visit see what happened to the oldest connection of which it has not heard."""
        what, key = self.reports.pop(0)
        if what == "had":
            self.recall.handed_over(key, self.now_s)
        else:
            self.recall.left(key)

    @property
    def is_over(self) -> bool:
        return all(strand.is_over for strand in self.strands)

    def proposed(self) -> Counter[tuple[str, str]]:
        """Return what all thoughts that were performed propose."""
        rows = [row for row in self.kernel.rows.values() if row.question.is_thought and row.delivered is not None]
        calls = (proposals_in(self.plan, row.question, self.scripts, self.labels[row.question.exact]) for row in rows)
        return Counter((call.name, call.args) for made in calls for call in made if call.acts)

    # Any order

    def moves(self) -> list[tuple[str, object]]:
        """Return what may happen next, faults apart; an empty list where all that is left is held."""
        moves: list[tuple[str, object]] = [("settle", key) for key in self.kernel.flights]
        for client in self.clients():
            if client.state == "asking" and not (client.is_held and client.held_at == self.taken):
                moves.append(("ask", client))
            elif client.state == "waiting" and client.key is not None and self.pending[client.key] is not None:
                moves.append(("hand_over", client))
        if self.reports:
            moves.append(("report", None))
        return moves

    def move(self, what: str, on: object) -> None:
        """Do one of `moves`."""
        if what == "report":
            self.report()
        else:
            getattr(self, what)(on)

    def finish(self) -> None:
        """Let all that is left happen, without another fault."""
        while not self.is_over:
            moves = self.moves()
            if not moves:
                self.now_s += 31
                held = [client for client in self.clients() if client.is_held]
                assert held, "nothing can happen any more"
                self.ask(held[0])
                continue
            self.move(*moves[0])
