"""What models proposed, beside what was asked: by it a second identical effect is told from the repeat of the first.

A model's answer proposes calls. They are open until the program goes on with that conversation, since it must say then
what became of each. An identical effect is another one if more of it is proposed and open than was asked for since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from comity.core.codec import Digest
from comity.gateway.tool_names import means
from comity.journal.call import CallKey


class Proposal(NamedTuple):
    """A call that a model's answer proposes.

    `name` is the function as the model knows it, or whatever the call's question is named; `digest` is that of the
    question's arguments, without what is taken out of them before it is asked.
    """

    name: str
    digest: Digest


class Proposals:
    """The proposals that one incarnation was given, and the effects that it asked for."""

    def __init__(self, may_be_had: Callable[[CallKey], bool]) -> None:
        """Know none; a thought that the program cannot have proposes nothing: `may_be_had` tells that."""
        self._may_be_had = may_be_had
        self._made: dict[CallKey, tuple[Proposal, ...]] = {}
        self._names: dict[Digest, set[str]] = {}
        self._open: dict[Digest, list[tuple[CallKey, str]]] = {}
        self._closed: set[CallKey] = set()
        self._asked: dict[Digest, Counter[str]] = {}
        """How often each effect was asked for, by digest and name, less what proposals closed since account for."""

    def proposed(self, thought: CallKey, proposals: Iterable[Proposal]) -> None:
        """Take what an answered thought proposes; the second time changes nothing."""
        if thought in self._made:
            return
        self._made[thought] = made = tuple(proposals)
        for item in made:
            self._names.setdefault(item.digest, set()).add(item.name)
            if thought not in self._closed:
                self._open.setdefault(item.digest, []).append((thought, item.name))

    def of(self, thought: CallKey) -> tuple[Proposal, ...]:
        """Return what an answered thought proposed."""
        return self._made.get(thought, ())

    def asked(self, name: str, of: Digest) -> None:
        """Take note that an effect was asked for."""
        self._asked.setdefault(of, Counter())[name] += 1

    def joined(self, name: str, of: Digest) -> None:
        """Take note that a question was answered with an earlier call.

        Where all earlier ones are accounted for, it is what an open proposal asked for.
        """
        if not self._times(name, of) and self._times_proposed(name, of):
            self.asked(name, of)

    def went_on(self, thought: CallKey) -> tuple[Proposal, ...]:
        """Take note that the program went on from a thought; return what it proposed, the second time nothing.

        What the program has not asked of these by now, it will not ask.
        """
        if thought in self._closed:
            return ()
        self._closed.add(thought)
        made = self._made.get(thought, ())
        for item in made:
            self._open[item.digest] = [(by, name) for by, name in self._open[item.digest] if by != thought]
            asked = self._asked.get(item.digest, Counter())
            for name in asked:
                if asked[name] and means(item.name, name):
                    asked[name] -= 1
        return made

    def is_due(self, name: str, of: Digest) -> bool:
        """Tell whether an effect is proposed and open more often than it was asked for."""
        return self._times_proposed(name, of) > self._times(name, of)

    def is_known(self, name: str, of: Digest) -> bool:
        """Tell whether an effect was ever proposed."""
        return any(means(function, name) for function in self._names.get(of, ()))

    def _times(self, name: str, of: Digest) -> int:
        return self._asked[of][name] if of in self._asked else 0

    def _times_proposed(self, name: str, of: Digest) -> int:
        made = self._open.get(of, ())
        return sum(means(function, name) and self._may_be_had(thought) for thought, function in made)
