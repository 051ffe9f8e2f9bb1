"""Random lives of a small world: acts are proposed, happen, are told; fields are seen early, late, twice; time goes.

The truth is known here and only here: what is told of it comes in any order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import partial

from comity.coordination.admission import Admission
from comity.coordination.believed import Effect, applied
from comity.coordination.orders import TooMany, every_order, stages
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal
from comity.journal.world import FieldValue, Observation
from simulation.admission_oracle import Act, Law, Truth, broken, follow, happen, possible
from simulation.admission_worlds import NOW_US, S, Small, small

STEPS = 30
UNDER_WAY_MAX = 3


@dataclass
class Errand:
    """An act that was admitted: what is left of it in truth, when its consequences are due, what was told of it."""

    act: Act
    due_us: list[int]
    happened_us: int = 0
    told: str = ""
    is_gone: bool = False


class Life:
    """One life, by its seed, in a world of any kind or of one."""

    def __init__(self, seed: int, kind: str = "") -> None:
        self.pick = random.Random(seed)
        self.small = self._small(seed, kind)
        self.picture = Picture(self.small.world("enforce"))
        self.admission = Admission(self.picture.world, self.picture)
        self.truth = self.small.truth
        self.now_us = NOW_US
        self.errands: dict[str, Errand] = {}
        self.mail: list[Observation] = []
        self.landed: set[str] = set()
        self.is_sound = possible(self.small.laws, self.small.links, self.truth, (), self.now_us) is None

    def _small(self, seed: int, kind: str) -> Small:
        made = small(seed, kind)
        links = tuple(replace(link, lag_s=min(link.lag_s, 10.0)) for link in made.links)
        others = [small(seed + 1_000_003 * turn, kind) for turn in (1, 2, 3)]
        acts = [*made.acts, *(act for other in others for act in other.acts)]
        here = {field for field, _ in made.truth.values}
        fitting = tuple(act for act in acts if all(touch.field in here for touch in act))
        values = tuple((field, 0 if value is None else value) for field, value in made.truth.values)
        values = tuple((field, "up" if field.endswith(".t") and value == 0 else value) for field, value in values)
        values = tuple((field, () if field.endswith(".s") and value == 0 else value) for field, value in values)
        values = tuple((field, bool(value) if field.endswith(".p") else value) for field, value in values)
        self.has_windows = any(name.window_us for law in made.laws for _, name in law.names)
        settle_s = self.pick.choice((0.0, 15.0, 40.0) if self.has_windows else (0.0, 5.0))
        return replace(made, links=links, truth=Truth(values), acts=fitting, settle_s=settle_s)

    # Steps

    def step(self) -> str:
        """Let something happen, a little later than what came before; return what."""
        self._pass(2)
        moves = (self.propose, self.propose, self.occur, self.tell, self.look, self.deliver, self.wait, self.land)
        move = self.pick.choice((*moves, self.wait, self.land) if self.has_windows else moves)
        self._show()
        move()
        return move.__name__

    def propose(self) -> None:
        """Let somebody ask for an act, while few are under way: the oracle tries every order of them."""
        if (
            sum(
                not item.is_gone and (item.act.touches is not None or bool(item.act.owed))
                for item in self.errands.values()
            )
            >= UNDER_WAY_MAX
        ):
            return
        ticket = f"ticket-{len(self.errands)}-{self.now_us}-{self.pick.random()}"
        which = self.pick.randrange(len(self.small.acts))
        asked = Proposal(call=ticket, ticket=ticket, task="t", actor="a", tool=f"act{which}", args={})
        ruling = self.admission.judge(asked, self.now_us)
        assert ruling is not None
        if ruling.word == "admit":
            self.errands[ticket] = Errand(Act(self.small.acts[which]), [])

    def occur(self) -> None:
        """Let an act that was admitted happen; its consequences are due within their lags."""
        open_ones = [item for item in self.errands.values() if item.act.touches is not None and item.told != "failed"]
        if open_ones:
            self._happen(self.pick.choice(open_ones))

    def tell(self) -> None:
        """Say what became of an act: done (if it has happened, or will within its settle time), failed, unknown.

        Windows count an act by its outcome: there it has happened by then, however long it takes to show.
        """
        open_ones = [(ticket, item) for ticket, item in self.errands.items() if item.told in ("", "unknown")]
        if not open_ones:
            return
        ticket, item = self.pick.choice(open_ones)
        ends = ["unknown", "done"] if item.act.touches is None else ["unknown", "failed"]
        end = self.pick.choice(ends)
        may_come = bool(self.small.settle_s) and not self.has_windows
        if item.act.touches is not None and may_come and self.pick.random() < 0.3:
            end = "done"
        item.told = end
        self.admission.settle(ticket, end, self.now_us)
        if end == "failed":
            item.is_gone = True
        elif end == "done" and item.act.touches is not None:
            item.due_us = [self.now_us + self.pick.randrange(round(self.small.settle_s * S))]

    def look(self) -> None:
        """See a field; the letter about it comes later."""
        field, value = self.pick.choice(self.truth.values)
        seen = Observation(field, value, self.now_us, by="probe")
        self.mail += [seen] * self.pick.choice((1, 1, 2))

    def deliver(self) -> None:
        """Let some letters come, in any order."""
        self.pick.shuffle(self.mail)
        for _ in range(min(len(self.mail), self.pick.choice((1, 2)))):
            self.picture.observe(self.mail.pop(), may_observe=True)

    def wait(self) -> None:
        """Let time pass."""
        last_s = 30 if self.has_windows else 40
        self._pass(self.pick.choice((1, 1_000, S, 3 * S, 12 * S, last_s * S)))

    def land(self) -> None:
        """Let what has settled become part of the values."""
        for flight in self.picture.matured(self.now_us):
            self.picture.land(flight)
            self.landed.add(flight.ticket)

    def end(self) -> None:
        """Tell what became of everything, wait, and look at every field."""
        for ticket, item in self.errands.items():
            if item.told in ("", "unknown"):
                item.told = "done" if item.act.touches is None else "failed"
                item.is_gone = item.told == "failed"
                self.admission.settle(ticket, item.told, self.now_us)
        self._pass(200 * S)
        for field, value in self.truth.values:
            self.picture.observe(Observation(field, value, self.now_us), may_observe=True)
        self.land()

    # Truth

    def law_at_stake(self) -> Law | None:
        """Return a law that is false now, or could become so by what was admitted."""
        left = [item.act for item in self.errands.values() if not item.is_gone]
        left = [act for act in left if act.touches is not None or act.owed]
        now = broken(self.small.laws, self.truth, self.now_us)
        return now or possible(self.small.laws, self.small.links, self.truth, left, self.now_us)

    def held(self) -> set[str]:
        """Return the tickets that a reservation must be there for."""
        return {ticket for ticket, item in self.errands.items() if not item.is_gone} - self.landed

    def differs(self) -> list[str]:
        """Return the fields that nothing is on, and of which the picture is wrong all the same."""
        busy = {touch.field for item in self.errands.values() if not item.is_gone for touch in item.act.touches or ()}
        busy |= {field for item in self.errands.values() for _, steps in item.act.owed for field, _ in steps}
        idle = [item for item in self.truth.values if item[0] not in busy | self.picture.flights_by_field.keys()]
        return [field for field, value in idle if self.picture.peek(field).value != value]

    def is_believed(self) -> bool:
        """Tell whether the truth is among the worlds that the picture holds possible."""
        names = [field for field, _ in self.truth.values]
        pieces: list[list[Effect]] = []
        for flight in self.picture.flights.values():
            pieces += self.picture.parted(flight, flight.effects)
        chains = [[partial(_applied, names, stage) for stage in stages(piece)] for piece in pieces]
        start = tuple(self.picture.peek(name).value for name in names)
        real = tuple(value for _, value in self.truth.values)
        try:
            return any(state == real for _, state in every_order(start, chains))
        except TooMany:
            return True

    def _happen(self, item: Errand) -> None:
        self.truth, item.act = happen(self.truth, item.act, self.small.links, self.now_us, 300.0)
        item.happened_us = self.now_us
        item.due_us = [self.now_us + round(lag_s * S * self.pick.random()) for lag_s, _ in item.act.owed]
        item.due_us = [max(item.due_us[: place + 1]) for place in range(len(item.due_us))]

    def _pass(self, by_us: int) -> None:
        until_us = self.now_us + by_us
        while True:
            dues = [item.due_us[0] for item in self.errands.values() if item.due_us and not item.is_gone]
            if not dues or min(dues) > until_us:
                break
            self.now_us = max(self.now_us, min(dues))
            self._show()
        self.now_us = until_us
        self._show()

    def _show(self) -> None:
        for item in self.errands.values():
            while item.due_us and item.due_us[0] <= self.now_us and not item.is_gone:
                if item.act.touches is not None:
                    self._happen(item)
                    continue
                self.truth, item.act = follow(self.truth, item.act)
                item.due_us.pop(0)


def _applied(names: list[str], stage: tuple[Effect, ...], state: tuple[FieldValue, ...]) -> tuple[FieldValue, ...]:
    now = dict(zip(names, state, strict=True))
    for effect in stage:
        now[effect.field] = applied(now[effect.field], effect)
    return tuple(now.values())
