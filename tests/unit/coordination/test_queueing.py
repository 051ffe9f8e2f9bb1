"""Who was deferred first goes first."""

from __future__ import annotations

import pytest

from comity.coordination import queueing
from comity.coordination.queueing import GRACE_US, Queue


def test_a_later_call_is_behind_an_older_one_for_the_same() -> None:
    queue = Queue()
    queue.wait("old", {"cap", "other"}, 100, 200)
    assert queue.ahead("new", {"cap", "else"}, 150)[0] == {"cap"}
    assert queue.ahead("new", {"else"}, 150)[0] == set()
    assert queue.ahead("old", {"cap"}, 150)[0] == set()
    queue.wait("held", {"else"}, 100, 200, "flight")
    assert queue.ahead("new", {"cap", "else"}, 150) == ({"cap", "else"}, {"flight"})


def test_a_call_that_comes_again_keeps_its_place() -> None:
    queue = Queue()
    queue.wait("one", {"cap"}, 100, 200)
    queue.wait("two", {"cap"}, 110, 200)
    queue.wait("one", {"cap"}, 190, 400)
    assert queue.ahead("one", {"cap"}, 200)[0] == set()
    assert queue.ahead("two", {"cap"}, 200)[0] == {"cap"}


def test_a_place_is_lost_when_nobody_comes_for_it() -> None:
    queue = Queue()
    queue.wait("gone", {"cap"}, 100, 200)
    assert queue.ahead("new", {"cap"}, 200 + GRACE_US - 1)[0] == {"cap"}
    assert queue.ahead("new", {"cap"}, 200 + GRACE_US)[0] == set()
    assert queue.waiting == {}


def test_leaving_gives_the_place_up() -> None:
    queue = Queue()
    queue.wait("one", {"cap"}, 100, 200)
    queue.leave("one")
    queue.leave("never came")
    assert queue.ahead("new", {"cap"}, 150)[0] == set()


def test_waiting_for_nothing_takes_no_place_and_is_counted() -> None:
    queue = Queue()
    queue.wait("one", set(), 100, 200)
    queue.wait("one", set(), 100, 200)
    assert queue.defers("one", "") == 2
    assert queue.ahead("two", {"cap"}, 150)[0] == set()


def test_only_waiting_behind_the_same_flight_is_counted_up() -> None:
    queue = Queue()
    queue.wait("one", {"cap"}, 100, 200, "flight")
    queue.wait("one", {"cap"}, 110, 200, "flight")
    assert (queue.defers("one", "flight"), queue.defers("one", "other"), queue.defers("two", "flight")) == (2, 0, 0)


def test_the_calls_of_a_task_that_has_ended_leave() -> None:
    queue = Queue()
    queue.wait("t/one", {"cap"}, 100, 200)
    queue.wait("tt/one", {"cap"}, 100, 200)
    queue.leave_task("t")
    assert set(queue.waiting) == {"tt/one"}


def test_so_many_wait_in_order_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    monkeypatch.setattr(queueing, "WAITING_MAX", 2)
    queue.wait("a", {"cap"}, 1, 10)
    queue.wait("b", {"cap"}, 2, 10)
    queue.wait("c", {"cap"}, 3, 10)
    assert set(queue.waiting) == {"a", "b"}
    queue.wait("d", {"cap"}, 11 + GRACE_US, 20 + GRACE_US)
    assert set(queue.waiting) == {"d"}
