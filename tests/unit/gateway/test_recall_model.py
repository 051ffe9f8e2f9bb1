"""Recall under faults: programs of any shape, killed with or without their node at any point, beside what was meant."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

from recall_world import POLL, Client, Parked, Plan, Script, ToolCall, Turn, World

TAPES = st.lists(st.integers(0, 10_000), max_size=160)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Programs whose strands share nothing but some effects with the same arguments."""
    labels = [f"input {n}" for n in range(draw(st.integers(1, 4)))]
    scripts = []
    for label in labels:
        turns = []
        for _ in range(draw(st.integers(0, 3))):
            names = draw(st.lists(st.sampled_from(["book", "pay", "look", "again"]), max_size=3))
            calls = tuple(
                ToolCall("pay", "the same for all")
                if name == "again"
                else ToolCall(name, f"{label} {draw(st.integers(0, 1))}", acts=name != "look")
                for name in names
            )
            polls = tuple(ToolCall("poll", label, acts=False) for _ in range(draw(st.integers(0, 2))))
            turns.append(Turn(calls, draw(st.booleans()), polls))
        scripts.append(Script(label, tuple(turns)))
    return Plan(tuple(scripts), draw(st.integers(1, 4)), draw(st.booleans()))


def run(world: World, tape: list[int], faults: tuple[str, ...], faults_max: int = 6) -> None:
    """Step a world by a tape, with so many faults at most, and then to its end without any."""
    left = faults_max
    for number in tape:
        if world.is_over:
            break
        moves = world.moves()
        waiting = [client for client in world.clients() if client.state == "waiting"]
        if left and number % 4 == 0 and fault(world, faults[number // 4 % len(faults)], waiting, number):
            left -= 1
        elif moves:
            what, on = moves[number % len(moves)]
            if what == "hand_over" and number % 3 == 0 and isinstance(on, Client):
                world.hand_over(on, is_seen=False)
            else:
                world.move(what, on)
    world.finish()


def fault(world: World, name: str, waiting: list[Client], number: int) -> bool:
    """Let something go wrong, if it can."""
    if name == "program dies":
        world.start_program(world.recall.keys)
    elif name == "node dies":
        world.kernel.crash()
        world.start_node()
    elif name == "both die":
        world.kernel.crash()
        world.start_program()
    elif name == "node lets go and takes it again":
        world.renew()
    elif not waiting:
        return False
    else:
        client = waiting[number % len(waiting)]
        has_answer = client.key is not None and world.pending[client.key] is not None
        if name == "client leaves":
            world.leave(client)
        elif name == "client leaves unseen":
            world.leave(client, is_seen=False)
        elif name == "last byte is lost" and has_answer and (client.question.is_thought or client.question.acts):
            world.lose_last_byte(client)
            world.ask(client)
        else:
            return False
    event(name)
    return True


PROGRAM_DIES = ("program dies", "both die", "node lets go and takes it again", "client leaves")
NODE_DIES = ("node dies", "node lets go and takes it again", "client leaves")
ANYTHING = (*PROGRAM_DIES, "node dies", "client leaves unseen", "last byte is lost")


@settings(max_examples=300)
@given(plans(), TAPES, st.sampled_from([PROGRAM_DIES, NODE_DIES]))
def test_whatever_dies_each_effect_and_thought_happens_as_often_as_in_a_run_without_faults(
    plan: Plan, tape: list[int], faults: tuple[str, ...]
) -> None:
    world = World(plan)
    run(world, tape, faults)
    assert world.kernel.performed == plan.effects()
    assert world.kernel.thoughts == plan.thoughts()


@settings(max_examples=200)
@given(plans(), TAPES)
def test_a_program_that_polls_gets_something_new_each_time(plan: Plan, tape: list[int]) -> None:
    world = World(plan)
    run(world, tape, PROGRAM_DIES)
    polls = [count for key, count in world.handed.items() if key.name == POLL]
    assert polls == [1] * sum(len(turn.reads) for script in plan.scripts for turn in script.turns)


def sampled(plan: Plan) -> Plan:
    """Return the program with each strand twice, so that the same is asked at once, and thought twice on purpose."""
    scripts = [
        Script(script.label, tuple(Turn(turn.calls, turn.at_once) for turn in script.turns)) for script in plan.scripts
    ]
    return Plan((*scripts, *scripts), plan.width, plan.has_clock)


@settings(max_examples=200)
@given(plans(), TAPES, st.sampled_from([PROGRAM_DIES, NODE_DIES]))
def test_samples_of_one_thought_are_as_many_and_after_a_node_died_never_more(
    plan: Plan, tape: list[int], faults: tuple[str, ...]
) -> None:
    plan = sampled(plan)
    world = World(plan, retry_join_s=0.0)
    run(world, tape, faults)
    assert world.kernel.performed <= plan.effects()
    assert world.kernel.thoughts <= plan.thoughts()
    if faults is PROGRAM_DIES:
        assert world.kernel.performed == plan.effects()
        assert world.kernel.thoughts == plan.thoughts()


@settings(max_examples=300)
@given(plans(), TAPES)
def test_whatever_goes_wrong_no_effect_happens_more_often_than_models_proposed_it(plan: Plan, tape: list[int]) -> None:
    world = World(plan)
    try:
        run(world, tape, ANYTHING, faults_max=12)
    except Parked:
        event("parked")
    assert world.kernel.performed <= world.proposed()
    if world.kernel.thoughts <= plan.thoughts():
        assert world.kernel.performed <= plan.effects()
