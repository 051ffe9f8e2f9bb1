"""The admission of production, asked in a rehearsal: a picture is made of the explorer's state for each question.

What waits in production (defer, escalate) is refused here: the agent thinks again, which is what it would do meanwhile.
Its detectors are not asked, since they judge by time.
"""

from __future__ import annotations

from typing import Any

from comity.coordination.admission import Admission
from comity.coordination.believed import Effect, FieldRow, Flight, WindowStep
from comity.coordination.picture import Picture
from comity.coordination.ruling import Proposal
from comity.journal.world import FieldValue
from comity.rehearsal.device import bind
from comity.rehearsal.model import Write
from comity.rehearsal.process import Act, Judged
from comity.rehearsal.space import Flying, Shared, Space

NOW_US = 1_750_000_000_000_000
STEPS_MAX = 200


class ProductionAdmitter:
    """Asks `coordination.Admission`, with all that is in flight."""

    def __init__(self, space: Space) -> None:
        """Judge on the states of `space`."""
        self._space, self._model = space, space.model

    def judge(self, state: Shared, act: Act, agent: str) -> Judged:
        """Judge an act."""
        picture = self._picture(state)
        args = {name: list(value) if isinstance(value, tuple) else value for name, value in act.args}
        proposal = Proposal(
            call=f"rehearsal/{agent}", ticket="proposed", task=agent, actor=agent, tool=act.tool, args=args
        )
        ruling = Admission(self._model.world, picture).judge(proposal, NOW_US)
        if ruling is None or ruling.word == "admit":
            return Judged("admit")
        if ruling.word == "redundant":
            return Judged("trim", ruling.rule, act._replace(writes=()))
        if ruling.word == "trim" and ruling.args is not None:
            return Judged("trim", ruling.rule, bind(self._model, act.rule, act.tool, ruling.args))
        return Judged("refuse", f"{ruling.word}: {ruling.rule}")

    def _picture(self, state: Shared) -> Picture:
        picture = Picture(self._model.world)
        steps = self._steps(state)
        for place, (name, value) in enumerate(zip(self._model.fields, state.values, strict=True)):
            if value is not None:
                picture.restore(name, FieldRow(value, 1, NOW_US - 1, "rehearsal", False, "", steps.get(place, ())))
        for number, item in enumerate(state.flying):
            picture.hold(self._flight(number, item))
        return picture

    def _steps(self, state: Shared) -> dict[int, tuple[WindowStep, ...]]:
        """Return what was counted of windows as steps of a field in each."""
        found: dict[int, tuple[WindowStep, ...]] = {}
        for mark, counted in zip(self._model.marks, state.marks, strict=True):
            place = min(mark.places, default=-1)
            if place >= 0 and counted:
                many = min(int(counted), STEPS_MAX) if mark.is_count else 1
                found[place] = tuple(WindowStep(NOW_US - 1, counted / many) for _ in range(many))
        return found

    def _flight(self, number: int, item: Flying) -> Flight:
        effects = tuple(self._effect(write) for write in item.writes)
        who = f"flying/{number}"
        phase: Any = "doubt" if item.may_drop else "meant"
        return Flight(who, who, who, "in flight", "in flight", who, effects, (), 0, NOW_US, phase)

    def _effect(self, write: Write) -> Effect:
        value: FieldValue = write.value
        return Effect(self._model.fields[write.place], write.op, value)
