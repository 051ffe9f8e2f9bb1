"""The contract of every store: units are all or none, fenced and guarded; messages wake; state is compare-and-set."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from comity.core.errors import JournalError
from comity.core.limits import NEVER_US
from comity.journal.entry import Entry, leaf
from comity.journal.ports import TaskFilter
from comity.journal.segment import segment
from comity.journal.task import State
from comity.journal.unit import (
    Fenced,
    GuardFailed,
    InboxSeen,
    Message,
    Receipt,
    StateIs,
    StateRow,
    StateWrite,
    Transition,
    Unit,
    Wakes,
)
from comity.testing.waiting import wait_until
from contract.world import OPERATOR, World, append, name_id, new_task, note, on_every_store, subject

# ---- tasks and journals ------------------------------------------------------------------------------------


@on_every_store
async def test_a_new_task_is_queued_and_brings_its_first_entries(world: World):
    task = await world.new("a", entries=2, tenant="t", session="s", queue="q", priority=3, goal="g" * 300)
    row = await world.row(task)
    assert (row.state, row.last_seq, row.epoch, row.lease_id, row.node) == (State.QUEUED, 2, 0, b"", b"")
    assert (row.tenant, row.session, row.queue, row.priority, row.goal) == ("t", "s", "q", 3, "g" * 200)
    assert row.created_us == row.updated_us == await world.store.now_us()
    assert await world.store.load(task) == [note(1, "a"), note(2, "a")]


@on_every_store
async def test_what_is_not_there_is_none_or_empty(world: World):
    nobody = name_id("nobody")
    assert await world.store.task(nobody) is None
    assert await world.store.load(nobody) == []
    assert await world.store.inbox(nobody) == []
    assert await world.store.mail(nobody) == []
    assert await world.store.state("x", "y") is None
    assert await world.store.tasks(TaskFilter(before=nobody)) == []
    assert await world.store.next_due_us() is None
    assert await world.store.commit([]) == []


@on_every_store
async def test_a_journal_is_read_back_as_it_was_written_from_any_place(world: World):
    row = await world.held("a")
    odd = Entry(3, "1.2~x", "a kind of tomorrow", "a phase of tomorrow", -1, bytes(range(256)))
    await world.commit(Unit(subject(row), entries=(note(2), odd)))
    assert await world.store.load(row.id) == [note(1, "a"), note(2), odd]
    assert await world.store.load(row.id, from_seq=3) == [odd]
    assert await world.store.load(row.id, from_seq=4) == []


@on_every_store
async def test_the_same_dedupe_key_creates_one_task_in_each_tenant(world: World):
    await world.new("a", dedupe="k")
    answer = await world.commit(
        Unit(OPERATOR, spawns=(new_task("b", dedupe="k"), new_task("c", dedupe="k", tenant="other"), new_task("d")))
    )
    assert answer == Receipt((name_id("a"), b"", b""))
    assert await world.store.task(name_id("b")) is None
    assert await world.store.task(name_id("c")) is not None


@on_every_store
async def test_two_spawns_of_one_unit_with_the_same_key_create_one_task(world: World):
    answer = await world.commit(Unit(OPERATOR, spawns=(new_task("a", dedupe="k"), new_task("b", dedupe="k"))))
    assert answer == Receipt((b"", name_id("a")))


@on_every_store
async def test_a_task_that_is_spawned_again_under_its_id_is_left_as_it_is(world: World):
    await world.new("a", goal="first")
    answer = await world.commit(Unit(OPERATOR, spawns=(new_task("a", entries=3, goal="second"),)))
    assert answer == Receipt((name_id("a"),))
    assert (await world.row(name_id("a"))).goal == "first"
    assert await world.store.load(name_id("a")) == [note(1, "a")]


@on_every_store
async def test_tasks_are_listed_newest_first_by_what_is_asked(world: World):
    for name, fields in (("a", {"agent": "x"}), ("b", {"session": "s"}), ("c", {"parent": name_id("a")}), ("d", {})):
        spawn = replace(new_task(name), **fields)
        await world.commit(Unit(OPERATOR, spawns=(spawn,)))

    async def names(**fields: object) -> str:
        return "".join(row.goal for row in await world.store.tasks(TaskFilter(**fields)))

    assert await names() == "dcba"
    assert await names(limit=2) == "dc"
    assert await names(before=name_id("c"), limit=1) == "b"
    assert await names(agent="x") == "a"
    assert await names(session="s") == "b"
    assert await names(parent=name_id("a")) == "c"
    assert await names(tenant="other") == ""
    assert await names(states=(State.RUNNING,)) == ""
    assert await names(states=(State.RUNNING, State.QUEUED), agent="agent") == "dcb"


# ---- fencing -----------------------------------------------------------------------------------------------


@on_every_store
async def test_a_worker_that_lost_its_lease_can_append_nothing(world: World):
    row = await world.held("a")
    await world.clock.advance(20)
    await world.node("other")
    assert await world.store.declare_dead() == [row.node]
    (now,) = await world.take(name_id("other"))
    answer = await world.commit(
        replace(
            append(row), spawns=(new_task("child"),), state=(StateWrite("n", "k", b"v"),), segments=(segment(b"s"),)
        )
    )
    assert isinstance(answer, Fenced)
    assert await world.store.load(row.id) == [note(1, "a")]
    assert await world.store.task(name_id("child")) is None
    assert await world.store.state("n", "k") is None
    with pytest.raises(JournalError, match="is not in the store"):
        await world.store.segments("default", [segment(b"s").sha256])
    assert await world.commit(append(now)) == Receipt()


@on_every_store
async def test_an_append_needs_the_lease_the_epoch_and_the_place_in_the_journal(world: World):
    row = await world.held("a")
    for wrong in (
        replace(row, lease_id=name_id("wrong")),
        replace(row, epoch=row.epoch + 1),
        replace(row, epoch=row.epoch - 1),
        replace(row, last_seq=row.last_seq + 1),
        replace(row, last_seq=row.last_seq - 1),
        replace(row, id=name_id("nobody")),
    ):
        assert isinstance(await world.commit(append(wrong)), Fenced)
    assert await world.commit(append(row, 3)) == Receipt()
    assert (await world.row(row.id)).last_seq == 4
    assert isinstance(await world.commit(append(row)), Fenced)


@on_every_store
async def test_of_two_appends_to_the_same_place_one_lands(world: World):
    row = await world.held("a")
    answers = await world.store.commit([append(row), append(row, 2)])
    assert answers[0] == Receipt()
    assert isinstance(answers[1], Fenced)
    assert len(await world.store.load(row.id)) == 2


@on_every_store
async def test_appends_that_follow_each_other_share_a_batch(world: World):
    row = await world.held("a")
    answers = await world.store.commit([append(replace(row, last_seq=seq)) for seq in range(1, 50)])
    assert answers == [Receipt()] * 49
    assert [entry.seq for entry in await world.store.load(row.id)] == list(range(1, 51))


@on_every_store
async def test_a_task_that_gave_its_lease_up_takes_no_append(world: World):
    row = await world.held("a")
    assert await world.move(row, State.WAITING, not_before_us=NEVER_US) == Receipt()
    assert isinstance(await world.commit(append(row)), Fenced)


# ---- state and guards --------------------------------------------------------------------------------------


@on_every_store
async def test_a_state_row_is_written_by_compare_and_set(world: World):
    async def write(value: bytes | None, expected: int | None) -> object:
        return await world.commit(Unit(OPERATOR, state=(StateWrite("n", "k", value, expected),)))

    assert await write(b"1", 0) == Receipt()
    first = StateRow("n", "k", 1, b"1")
    assert await write(b"2", 0) == GuardFailed(StateWrite("n", "k", b"2", 0), first)
    assert await write(b"2", 2) == GuardFailed(StateWrite("n", "k", b"2", 2), first)
    assert await write(b"2", 1) == Receipt()
    assert await write(b"3", None) == Receipt()
    assert await world.store.state("n", "k") == StateRow("n", "k", 3, b"3")
    assert isinstance(await write(None, 1), GuardFailed)
    assert await write(None, 3) == Receipt()
    assert await world.store.state("n", "k") is None
    assert await write(None, None) == Receipt()
    assert await write(b"x", 1) == GuardFailed(StateWrite("n", "k", b"x", 1), None)
    assert await write(b"again", 0) == Receipt()
    assert await world.store.state("n", "k") == StateRow("n", "k", 1, b"again")


@on_every_store
async def test_writes_of_one_unit_to_one_row_see_each_other(world: World):
    writes = (StateWrite("n", "k", b"1", 0), StateWrite("n", "k", b"2", 1), StateWrite("n", "l", b"", None))
    assert await world.commit(Unit(OPERATOR, state=writes)) == Receipt()
    assert await world.store.state("n", "k") == StateRow("n", "k", 2, b"2")
    assert await world.store.state("n", "l") == StateRow("n", "l", 1, b"")
    writes = (StateWrite("n", "k", None, 2), StateWrite("n", "k", b"3", 2))
    assert await world.commit(Unit(OPERATOR, state=writes)) == GuardFailed(writes[1], None)
    assert await world.store.state("n", "k") == StateRow("n", "k", 2, b"2")


@on_every_store
async def test_of_many_who_want_the_same_once_key_one_gets_it(world: World):
    async def want(number: int) -> object:
        write = StateWrite("once", "key", str(number).encode(), 0)
        return await world.commit(Unit(OPERATOR, state=(write,)))

    answers = await asyncio.gather(*(want(number) for number in range(20)))
    winners = [number for number, answer in enumerate(answers) if answer == Receipt()]
    assert len(winners) == 1
    held = await world.store.state("once", "key")
    assert held == StateRow("once", "key", 1, str(winners[0]).encode())
    assert all(answer.found == held for answer in answers if isinstance(answer, GuardFailed))


@on_every_store
async def test_a_guard_that_fails_harms_only_its_unit(world: World):
    row = await world.held("a")
    other = await world.held("b")
    await world.commit(Unit(OPERATOR, state=(StateWrite("stop", "generation", b"1"),)))
    right, wrong = StateIs("stop", "generation", 1), StateIs("stop", "generation", 2)
    answers = await world.store.commit(
        [
            append(row, guards=(wrong,), sends=(Message(other.id, "a", "signal", "go"),)),
            append(other, guards=(right,)),
            append(row, guards=(StateIs("stop", "missing", 1),)),
            append(row, guards=(right,)),
        ]
    )
    assert answers == [
        GuardFailed(wrong, StateRow("stop", "generation", 1, b"1")),
        Receipt(),
        GuardFailed(StateIs("stop", "missing", 1), None),
        Receipt(),
    ]
    assert await world.store.inbox(other.id) == []


@on_every_store
async def test_a_unit_sees_the_state_that_the_one_before_it_in_the_batch_wrote(world: World):
    await world.commit(Unit(OPERATOR, state=(StateWrite("n", "k", b"1"),)))
    answers = await world.store.commit(
        [
            Unit(OPERATOR, state=(StateWrite("n", "k", b"2", 1),)),
            Unit(OPERATOR, guards=(StateIs("n", "k", 1),), state=(StateWrite("n", "l", b"x"),)),
            Unit(OPERATOR, guards=(StateIs("n", "k", 2),), state=(StateWrite("n", "k", None, 2),)),
            Unit(OPERATOR, state=(StateWrite("n", "k", b"new", 0),)),
        ]
    )
    assert [type(answer) for answer in answers] == [Receipt, GuardFailed, Receipt, Receipt]
    assert await world.store.state("n", "k") == StateRow("n", "k", 1, b"new")


@on_every_store
async def test_states_are_listed_by_key_below_a_prefix(world: World):
    keys = ["a", "a/1", "a/2", "a%", "a_", "b", "A", "é", "a/é"]
    await world.commit(Unit(OPERATOR, state=tuple(StateWrite("n", key, b"") for key in keys)))
    await world.commit(Unit(OPERATOR, state=(StateWrite("other", "a/3", b""),)))
    assert [row.key for row in await world.store.states("n")] == sorted(keys)
    assert [row.key for row in await world.store.states("n", "a/")] == ["a/1", "a/2", "a/é"]
    assert [row.key for row in await world.store.states("n", "a%")] == ["a%"]
    assert [row.key for row in await world.store.states("n", "a_")] == ["a_"]


# ---- inbox -------------------------------------------------------------------------------------------------


@on_every_store
async def test_a_message_of_the_same_sender_arrives_once_even_when_it_was_consumed(world: World):
    row = await world.held("a")
    assert await world.send(row.id, "s1", value=b"1") == Receipt()
    assert await world.send(row.id, "s1", value=b"2") == Receipt()
    assert await world.send(row.id, "s2", value=b"3", at_us=7) == Receipt()
    first, second = await world.store.inbox(row.id)
    assert (first.sender, first.value, first.at_us) == ("s1", b"1", await world.store.now_us())
    assert (second.sender, second.value, second.at_us, second.wakes) == ("s2", b"3", 7, Wakes.WAITING)
    assert 0 < first.id < second.id
    assert await world.commit(append(row, consumes=(first.id,))) == Receipt()
    assert await world.send(row.id, "s1", value=b"4") == Receipt()
    assert await world.store.inbox(row.id) == [second]


@on_every_store
async def test_a_message_to_nobody_fails_its_unit(world: World):
    message = Message(name_id("nobody"), "me", "signal", "go")
    answer = await world.commit(Unit(OPERATOR, sends=(message,), state=(StateWrite("n", "k", b""),)))
    assert answer == GuardFailed(message, None)
    assert await world.store.state("n", "k") is None


@on_every_store
async def test_a_message_may_go_to_a_task_of_the_same_unit(world: World):
    message = Message(name_id("a"), "me", "signal", "go")
    assert await world.commit(Unit(OPERATOR, spawns=(new_task("a"),), sends=(message,))) == Receipt((b"",))
    assert [found.sender for found in await world.store.inbox(name_id("a"))] == ["me"]


@on_every_store
async def test_a_message_wakes_whom_it_says(world: World):
    woken = {
        Wakes.NOBODY: set(),
        Wakes.WAITING: {State.WAITING},
        Wakes.PARKED: {State.WAITING, State.PARKED},
        Wakes.FAILED: {State.WAITING, State.PARKED, State.FAILED},
    }
    states = (State.RUNNING, State.WAITING, State.PARKED, State.FAILED, State.SUCCEEDED, State.CANCELLING)
    for wakes, expected in woken.items():
        for state in states:
            row = await world.held(f"{wakes} {state}")
            if state is not State.RUNNING:
                await world.move(row, state, reason="r", not_before_us=NEVER_US)
            before = await world.row(row.id)
            await world.clock.advance(1)
            await world.send(row.id, wakes=wakes)
            after = await world.row(row.id)
            if state in expected:
                assert (after.state, after.reason, after.not_before_us) == (State.QUEUED, "woken", 0)
                assert (after.node, after.epoch, after.lease_id) == (before.node, before.epoch, b"")
                assert after.updated_us > before.updated_us
            else:
                assert after == before
            await world.store.declare_dead(row.node)
            await world.node()


@on_every_store
async def test_a_message_does_not_hasten_a_task_that_is_queued_for_later(world: World):
    later_us = await world.store.now_us() + 5_000_000
    task = await world.new("a", not_before_us=later_us)
    await world.send(task, wakes=Wakes.FAILED)
    assert (await world.row(task)).not_before_us == later_us
    assert await world.take(await world.node()) == []


@on_every_store
async def test_no_wake_up_is_lost_between_looking_and_going_to_wait(world: World):
    row = await world.held("a")
    await world.send(row.id)
    waits = append(row, guards=(InboxSeen(),), transition=Transition(State.WAITING, not_before_us=NEVER_US))
    assert await world.commit(waits) == GuardFailed(InboxSeen(), None)
    assert (await world.row(row.id)).state is State.RUNNING
    (message,) = await world.store.inbox(row.id)
    assert await world.commit(replace(waits, consumes=(message.id,))) == Receipt()
    assert (await world.row(row.id)).state is State.WAITING
    await world.send(row.id, "second")
    assert (await world.row(row.id)).state is State.QUEUED


@on_every_store
async def test_a_message_in_the_batch_of_its_target_going_to_wait_wakes_it_whichever_is_first(world: World):
    for number, sends_first in enumerate((True, False)):
        row = await world.held(f"a{number}")
        waits = append(row, guards=(InboxSeen(),), transition=Transition(State.WAITING, not_before_us=NEVER_US))
        sends = Unit(OPERATOR, sends=(Message(row.id, "me", "signal", "go"),))
        answers = await world.store.commit([sends, waits] if sends_first else [waits, sends])
        assert [type(answer) for answer in answers] == [Receipt, GuardFailed if sends_first else Receipt]
        state = (await world.row(row.id)).state
        assert state is (State.RUNNING if sends_first else State.QUEUED)


@on_every_store
async def test_a_task_that_goes_to_wait_and_sends_to_itself_is_woken(world: World):
    row = await world.held("a")
    wait = Transition(State.WAITING, not_before_us=NEVER_US)
    assert await world.commit(append(row, transition=wait, sends=(Message(row.id, "me", "signal", "go"),))) == Receipt()
    assert (await world.row(row.id)).state is State.QUEUED


@on_every_store
async def test_mail_names_the_held_tasks_that_have_messages(world: World):
    first, second = await world.held("a"), await world.held("b")
    waiting = await world.held("c")
    await world.move(waiting, State.WAITING, not_before_us=NEVER_US)
    for row in (first, waiting):
        await world.send(row.id, wakes=Wakes.NOBODY)
    assert await world.store.mail(first.node) == [first.id]
    assert await world.store.mail(name_id("other")) == []
    (message,) = await world.store.inbox(first.id)
    await world.commit(append(first, consumes=(message.id,)))
    assert await world.store.mail(first.node) == []
    await world.send(second.id)
    assert await world.store.mail(first.node) == [second.id]


# ---- transitions -------------------------------------------------------------------------------------------


@on_every_store
async def test_a_state_without_a_worker_gives_the_lease_up_and_remembers_the_node(world: World):
    for state in (State.QUEUED, State.WAITING, State.PARKED, State.SUCCEEDED, State.FAILED, State.CANCELLED):
        row = await world.held(state.value)
        assert await world.move(row, state, reason="why", not_before_us=NEVER_US) == Receipt()
        after = await world.row(row.id)
        assert (after.state, after.reason, after.not_before_us) == (state, "why", NEVER_US)
        assert (after.lease_id, after.node, after.epoch) == (b"", row.node, row.epoch)


@on_every_store
async def test_a_cancelling_task_keeps_its_lease(world: World):
    row = await world.held("a")
    assert await world.move(row, State.CANCELLING) == Receipt()
    after = await world.row(row.id)
    assert (after.state, after.lease_id) == (State.CANCELLING, row.lease_id)
    assert await world.commit(append(after)) == Receipt()
    assert await world.move(row, State.CANCELLED) == Receipt()


@on_every_store
async def test_a_running_task_gets_its_incarnation_and_version(world: World):
    row = await world.held("a")
    assert await world.move(row, State.RUNNING, incarnation=1, agent_version="v1") == Receipt()
    assert await world.move(row, State.RUNNING) == Receipt()
    after = await world.row(row.id)
    assert (after.incarnation, after.agent_version, after.lease_id) == (1, "v1", row.lease_id)


@on_every_store
async def test_a_move_that_is_not_in_the_table_is_a_programmer_s_error_and_harms_nobody_else(world: World):
    row, other = await world.held("a"), await world.held("b")
    await world.move(row, State.CANCELLING)
    bad = Unit(subject(row), transition=Transition(State.SUCCEEDED))
    results = await asyncio.gather(world.commit(bad), world.commit(append(other)), return_exceptions=True)
    assert isinstance(results[0], AssertionError)
    assert results[1] == Receipt()


# ---- segments, log, tree -----------------------------------------------------------------------------------


@on_every_store
async def test_segments_are_kept_by_tenant_and_hash(world: World):
    small, large = segment(b"small"), segment(b"large " * 50_000)
    await world.store.put_segments("t", [large, large])
    assert await world.commit(Unit(OPERATOR, tenant="t", segments=(small, large, small))) == Receipt()
    assert await world.store.segments("t", [large.sha256, small.sha256, large.sha256]) == [
        large.data,
        small.data,
        large.data,
    ]
    with pytest.raises(JournalError) as missing:
        await world.store.segments("other", [small.sha256])
    assert missing.value.code == "missing_segment"


@on_every_store
async def test_the_log_holds_every_entry_in_the_order_of_commit(world: World):
    a, b = await world.held("a"), await world.held("b")
    await world.commit(append(b, 2))
    await world.commit(append(a))
    logged = await world.store.log(0, 100)
    assert [(item.task, item.entry.seq) for item in logged] == [
        (a.id, 1),
        (b.id, 1),
        (b.id, 2),
        (b.id, 3),
        (a.id, 2),
    ]
    positions = [item.position for item in logged]
    assert positions == sorted(set(positions))
    assert await world.store.log(positions[1], 2) == logged[2:4]
    assert await world.store.log(positions[-1], 10) == []


@on_every_store
async def test_the_logs_position_is_where_it_ends_for_now(world: World):
    assert await world.store.position() == 0
    row = await world.held("a")
    end = await world.store.position()
    assert [item.position for item in await world.store.log(0, 10)] == [end]
    await world.commit(append(row))
    assert [item.entry.seq for item in await world.store.log(end, 10)] == [2]
    assert await world.store.log(await world.store.position(), 10) == []


@on_every_store
async def test_a_journal_is_read_in_pieces(world: World):
    task = await world.new("a", entries=5)
    assert [item.seq for item in await world.store.load(task, 2, 3)] == [2, 3, 4]
    assert [item.seq for item in await world.store.load(task, 4, 3)] == [4, 5]
    assert await world.store.load(task, 6, 3) == []


@on_every_store
async def test_a_fenced_unit_leaves_no_gap_in_what_the_log_shows(world: World):
    row = await world.held("a")
    await world.commit(append(replace(row, epoch=9)))
    await world.commit(append(row))
    assert [item.entry.seq for item in await world.store.log(0, 10)] == [1, 2]


@on_every_store
async def test_leaves_are_given_in_the_order_of_the_log_by_one_node_at_a_time(world: World):
    row = await world.held("a")
    first, second = row.node, await world.node("second")
    await world.commit(append(row, 3))
    assert await world.store.sequence(first, world.leases[first], limit=3) == 3
    assert await world.store.sequence(second, world.leases[second]) == 3
    assert await world.store.sequence(first, world.leases[first]) == 4
    assert await world.store.sequence(first, world.leases[first]) == 4
    logged = await world.store.log(0, 10)
    assert await world.store.leaves() == [leaf(item.task, item.entry) for item in logged]
    assert await world.store.leaves(1, 2) == (await world.store.leaves())[1:3]
    await world.store.declare_dead(first)
    await world.new("b")
    assert await world.store.sequence(first, world.leases[first]) == 4
    assert await world.store.sequence(second, world.leases[second]) == 5


# ---- news and life -----------------------------------------------------------------------------------------


@on_every_store
async def test_watchers_hear_of_commits_and_of_nothing_else(world: World):
    heard: list[int] = []
    end = world.store.watch(lambda: heard.append(1))
    other = world.store.watch(lambda: heard.append(2))
    await world.new("a")
    await wait_until(lambda: len(heard) >= 2)
    assert heard[:2] == [1, 2]
    end()
    other()
    other()
    heard.clear()
    await world.new("b")
    await world.clock.settle()
    assert heard == []


@on_every_store
async def test_who_asks_for_every_commit_hears_of_plain_appends(world: World):
    row = await world.held("a")
    heard: list[int] = []
    end = world.store.watch(lambda: heard.append(1), every=True)
    await world.commit(append(row))
    await wait_until(lambda: heard)
    end()


@on_every_store
async def test_what_was_committed_is_there_after_closing_and_opening(world: World):
    row = await world.held("a")
    lineage = await world.store.lineage()
    waiting = [asyncio.ensure_future(world.commit(append(replace(row, last_seq=seq)))) for seq in range(1, 6)]
    await asyncio.sleep(0)
    await world.store.close()
    assert [await answer for answer in waiting] == [Receipt()] * 5
    world.store = world.another()
    await world.store.open()
    assert len(await world.store.load(row.id)) == 6
    assert await world.store.lineage() == lineage
