"""A world file is checked across its sections: what leads nowhere or cannot be meant is told with its line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from comity.coordination.document import FieldSection, InvariantSection, KindSection, WorldDocument
from comity.coordination.loading import check_document, load_world, read_world
from comity.coordination.loading_check import DEPENDENCIES_MAX, KINDS_MAX
from comity.coordination.loading_names import PATTERNS_MAX
from comity.coordination.loading_problem import PROBLEMS_SHOWN_MAX, Problem, WorldError
from comity.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
KINDS = """\
version: 1
kinds:
  service:
    id: service/{name}
    fields:
      ready: {type: integer, low: 0, high: 9, initial: 3, unit: replicas}
      load: {low: 0, unit: req/s}
      state: {type: text, values: [up, down], initial: up}
      owners: {type: set}
      on: {type: boolean}
tools:
  drain: {touches: [{field: "service/{service}.ready", op: add, value: -1}]}
  look: {observes: {"service/{service}.ready": ready}}
resources: {service/web: {}}
"""
LINE = KINDS.count("\n") + 1


def problems(text: str) -> tuple[Problem, ...]:
    """Return what is wrong with a text."""
    with pytest.raises(WorldError) as caught:
        read_world(text)
    return caught.value.problems


def told(item: Problem) -> str:
    """Return a problem in one line."""
    return f"{item.path}: {item.message} -- {item.hint}"


LET = '{r: "service/{name}.ready", l: "service/{name}.load"}'
INVARIANTS = [
    ('{let: {r: "service/{name}.redy"}, holds: r >= 1}', "no field `redy` -- did you mean `ready`?"),
    ('{let: {r: "servce/{name}.ready"}, holds: r >= 1}', "no kind has ids like `servce/{name}` -- did you mean"),
    ('{let: {r: "service/{name}"}, holds: r >= 1}', "names no field"),
    ('{let: {r: "service/{name.ready"}, holds: r >= 1}', "brace that names nothing"),
    ('{let: {r: "service/{name}.ready"}, holds: redy >= 1}', "reads `redy`, which is not there -- there are: `r`"),
    ('{let: {r: "service/{name}.ready"}, holds: r >=}', "is no expression"),
    ('{let: {r: "service/{name}.ready"}, holds: max(r, 2) > 0}', "text with `,` needs quotes between braces"),
    ('{let: {r: "service/{name}.ready"}, holds: r.real >= 1}', "is not allowed"),
    ('{let: {r: "service/{name}.ready"}, holds: open(r)}', "is no function here"),
    ('{let: {r: "service/{name}.ready"}, holds: r + 1}', "comes to a number, not to true or false"),
    ('{let: {r: "service/{name}.ready"}, holds: "1 > 0"}', "says nothing of the world"),
    ('{let: {r: "service/{name}.ready"}, holds: r > 1e19}', "is no number below 1e18"),
    (
        "{let: LET, holds: r + l < 9}",
        "`replicas` is added to `req/s`",
    ),
    (
        "{let: LET, holds: r >= l}",
        "`replicas` is compared with `req/s`",
    ),
    ('{let: LET, holds: "min(r, l) > 0"}', "taken together with"),
    (
        '{let: {r: "service/{name}.ready", l: "service/{other}.load"}, holds: r * 2 > l}',
        "it has `{other}`, and `r` has",
    ),
    ('{let: {s: "service/{name}.state"}, holds: s >= 1}', "`s` is text, not a number"),
    ('{let: {s: "service/{name}.state"}, holds: s == 1}', "compares text with a number"),
    (
        """{let: {s: "service/{name}.state"}, holds: "s == 'dwn'"}""",
        "none of the field's `values` -- did you mean `down`",
    ),
    ("""{let: {s: "service/{name}.state"}, holds: "s in ['up', 'of']"}""", "`of` is none of the field's `values`"),
    ('{let: {r: "service/{name}.ready"}, holds: 3 in r}', "which has no parts"),
    ('{let: {r: {sum: "service/*a*b*c*.ready"}}, holds: r >= 1}', "has more than 3 `*`"),
    ('{let: {r: "service/{name}.ready"}, holds: "' + "(" * 990 + "r" + ")" * 990 + ' > 0"}', "is no expression"),
    ('{let: {r: "service/{name}.ready"}, holds: "' + "-" * 1_990 + 'r > 0"}', "is no expression"),
    ('{let: {r: "service/*.ready"}, holds: r >= 1}', "stands for many fields"),
    ('{let: {r: {sum: "service/*.ready", max: "service/*.ready"}}, holds: r >= 1}', "exactly one of sum, count"),
    ("{let: {r: {}}, holds: r >= 1}", "exactly one of sum, count"),
    ('{let: {r: {sum: "service/*.state"}}, holds: r >= 1}', "is text, which has no sum"),
    ('{let: {r: {count: "service/*.ready", within: 1 day}}, holds: r <= 1}', "is no window of time"),
    ('{let: {r: {count: "service/*.ready", within: 0h}}, holds: r <= 1}', "is no window of time"),
    ('{let: {r: {max: "service/*.ready", within: 1h}}, holds: r <= 1}', "`max` has no window"),
    ('{let: {if: "service/{name}.ready"}, holds: 1 > 0}', "cannot be a name in an expression"),
    ('{let: {r: "service/{name}.ready"}, holds: r >= 4}', "is false from the start (name=web: `r` is 3)"),
    ('{let: {r: {sum: "service/*.ready"}}, holds: r >= 4}', "is false from the start (`r` is 3)"),
]


@pytest.mark.parametrize(("given", "expected"), INVARIANTS)
def test_an_invariant_that_cannot_be_meant_is_told(given: str, expected: str) -> None:
    found = problems(f"{KINDS}invariants:\n  i: {given.replace('LET', LET)}\n")
    assert any(expected in told(item) and item.line == LINE + 1 for item in found), found


PARTS = [
    ("kinds", 'other: {id: "service/{id}", fields: {x: {}}}', "may name the same resource"),
    ("kinds", 'other: {id: "service/web", fields: {x: {}}}', "may name the same resource"),
    ("kinds", 'other: {id: "{any}/web", fields: {x: {}}}', "may name the same resource"),
    ("kinds", "other: {id: 'o {', fields: {x: {}}}", "no template of ids"),
    ("kinds", 'other: {id: "o/{a}/{a}", fields: {x: {}}}', "has a part twice"),
    ("kinds", 'other: {id: "o/{a}{b}", fields: {x: {}}}', "cannot be told apart"),
    ("kinds", 'other: {id: "o/{a}-{b}-{c}", fields: {x: {}}}', "cannot be told apart"),
    ("kinds", "other: {id: o, fields: {}}", "the kind has no fields"),
    ("kinds", 'other: {id: o, domain: "{zone}", fields: {x: {}}}', "`{zone}` is no part of `o`"),
    ("kinds", "other: {id: o, declared_only: true, fields: {x: {}}}", "no meaning without `scope`"),
    ("kinds", "other: {id: o, fields: {x.y: {}}}", "cannot name a field"),
    ("kinds", "other: {id: o, fields: {x: {}, X: {}}}", "names have no case"),
    ("kinds", "other: {id: o, fields: {x: {low: 3, high: 1}}}", "`low` is 3, which is above `high`, 1"),
    ("kinds", "other: {id: o, fields: {x: {high: 1, initial: 2}}}", "`2` is above `high`"),
    ("kinds", "other: {id: o, fields: {x: {low: 1, initial: 0}}}", "`0` is below `low`"),
    ("kinds", "other: {id: o, fields: {x: {type: integer, initial: 1.5}}}", "no value of an integer field"),
    ("kinds", "other: {id: o, fields: {x: {initial: true}}}", "no value of a number field"),
    ("kinds", "other: {id: o, fields: {x: {type: boolean, initial: 1}}}", "no value of a boolean field"),
    ("kinds", "other: {id: o, fields: {x: {type: text, initial: 1}}}", "no value of a text field"),
    ("kinds", "other: {id: o, fields: {x: {type: set, initial: a}}}", "no value of a set field -- write a list"),
    ("kinds", "other: {id: o, fields: {x: {type: text, values: [up], initial: upp}}}", "did you mean `up`?"),
    ("kinds", "other: {id: o, fields: {x: {type: text, low: 1}}}", "a text field has no `low`"),
    ("kinds", "other: {id: o, fields: {x: {values: [1]}}}", "a number field has no `values`"),
    ("resources", "servce/db: {}", "no kind has ids like `servce/db` -- did you mean"),
    ("resources", "SERVICE/web: {}", "the same resource as `service/web`"),
    ("resources", "'service/{name}': {}", "characters that no name may have"),
    ("resources", "service/db: {values: {redy: 1}}", "no field `redy` -- did you mean `ready`?"),
    ("resources", "service/db: {values: {ready: 99}}", "`99` is above `high`"),
    ("resources", "service/db: {values: {state: false}}", "no value of a text field"),
    ("dependencies", '- {from: "service/{name}.ready", to: "service/{name}.ready"}', "leads back to itself"),
    ("dependencies", '- {from: "service/{name}.ready", to: "service/{other}.load"}', "`{other}` is not in `from`"),
    ("dependencies", '- {from: "service/{name}.state", to: "service/{name}.load"}', "neither derives nor is derived"),
    ("dependencies", '- {from: "service/{name}.redy", to: "service/{name}.load"}', "did you mean `ready`?"),
    ("dependencies", '- {from: "service/{name}.ready", to: "service/*.load"}', "stands for many fields"),
    ("dependencies", '- {from: "service/web.ready", to: service/web.load, gain: x}', "is no number"),
    ("contracts", 'c: {artefact: "service/{name}.lod", requires: last > 0}', "did you mean `load`?"),
    ("contracts", 'c: {artefact: "service/{name}.load", requires: rows > 0}', "reads `rows`"),
    ("contracts", 'c: {artefact: "service/{name}.load", requires: last, growth_max: 0}', "nothing could be published"),
    ("contracts", "c: {artefact: service/web.load, requires: last > 0, consumers: [service/web.lod]}", "`load`?"),
    ("tools", 't: {touches: [{field: "service/{s}.lod"}]}', "did you mean `load`?"),
    ("tools", 't: {touches: [{field: "service/*.load"}]}', "stands for many fields"),
    ("tools", 't: {touches: [{field: "service/{s}.load", op: append}]}', "`append` does not change a number field"),
    ("tools", 't: {touches: [{field: "service/{s}.owners", op: add}]}', "`add` does not change a set field"),
    ("tools", 't: {touches: [{field: "service/{s}.load", op: ad}]}', "did you mean `add`?"),
    ("tools", 't: {touches: [{field: "service/{s}.ready", value: 99}]}', "`99` is above `high`"),
    ("tools", """t: {touches: [{field: "service/{s}.state", value: "'of'"}]}""", "none of the field's `values`"),
    ("tools", """t: {touches: [{field: "service/{s}.ready", op: add, value: "'a'"}]}""", "no step of a number"),
    ("tools", 't: {touches: [{field: "service/{s}.ready", value: "a b"}]}', "is no expression"),
    ("tools", 't: {premises: [{field: "service/{s}.state", holds: value > 1}]}', "`value` is text, not a number"),
    ("tools", 't: {premises: [{field: "service/{s}.ready", holds: value}]}', "comes to a number"),
    ("tools", "t: {trim: count}", "no touch to trim"),
    ("tools", 't: {touches: [{field: "service/{s}.ready", value: n}], trim: m}', "does not read `m`"),
    ("tools", "t: {when: 3}", "not to true or false"),
    ("tools", 't: {observes: {"service/{s}.redy": result}}', "did you mean `ready`?"),
    ("tools", "a b: {}", "cannot be the name of a tool"),
    ("tools", "t: {touchs: []}", "did you mean `touches`?"),
    ("detectors", "oscilation: {}", "did you mean `oscillation`?"),
    ("detectors", "oscillation: {parameters: {half_life_s_mn: 3}}", "did you mean `half_life_s_min`?"),
    ("detectors", "oscillation: {parameters: {half_life_s_min: -3}}", "expected a number from 0 up"),
    ("detectors", "oscillation: {mode: enforced}", "did you mean `enforce`?"),
    ("authority", "observe: {service/web.redy: [poll]}", "did you mean `ready`?"),
    ("authority", "observe: {service/web.ready: [agnt]}", "`agnt` is nobody who may observe"),
    ("authority", "claim: {'*': [poll]}", "`poll` is nobody who may claim"),
    ("authority", "plan: {'*': ['agent:']}", "is nobody who may plan"),
    ("polls", "p: {tool: lok}", "there is no tool `lok` here -- did you mean `look`?"),
    ("polls", "p: {tool: drain}", "fills no field"),
    ("polls", "p: {tool: look, every_s: 0}", "write a number above 0"),
    ("scrapes", "s: {url: ftp://x, fields: {}}", "no address of a Prometheus endpoint"),
    ("scrapes", "s: {url: 'http://u:p@x/', fields: {}}", "without a password"),
    ("scrapes", "s: {url: 'http://x/', fields: {service/web.ready: 'a{b'}}", "names no series"),
    ("scrapes", "s: {url: 'http://x/', fields: {service/web.state: up}}", "does not fill a text field"),
    ("scrapes", "s: {url: 'http://x/', fields: {'service/{name}.ready': up}}", "does not name one field"),
]


@pytest.mark.parametrize(("section", "given", "expected"), PARTS)
def test_what_is_wrong_in_a_section_is_told_with_its_line(section: str, given: str, expected: str) -> None:
    head = f"{section}:\n"
    if head in KINDS:
        text = KINDS.replace(head, f"{head}  {given}\n")
    elif section == "resources":
        text = KINDS.replace("resources: {service/web: {}}\n", f"resources:\n  service/web: {{}}\n  {given}\n")
    else:
        text = f"{KINDS}{section}:\n  {given}\n"
    found = problems(text)
    at = text.split("\n").index(f"  {given}") + 1
    assert any(expected in told(item) and item.line in (at, text.split("\n").index("  service:") + 2) for item in found)


AGENT = "{reads: {r: service/web.ready}, rules: [{do: drain, given: {service: \"'web'\"}}]}"
REHEARSALS = [
    ("agents: {}", "nobody takes part"),
    ("agents: {a: {}}", "it does nothing"),
    ("agents: {a: {rules: [{do: drian}]}}", "there is no tool `drian` here -- did you mean `drain`?"),
    ("agents: {a: {rules: [{do: drain}]}}", "argument `service`, which is not given"),
    ("agents: {a: {reads: {r: service/web.redy}, rules: [{do: look}]}}", "did you mean `ready`?"),
    ("agents: {a: {reads: {r: 'service/{n}.ready'}, rules: [{do: look}]}}", "does not name one field"),
    (
        "agents: {a: {reads: {l: service/web.load}, rules: [{do: look}]}}",
        "`service/web.load` has no value to start with",
    ),
    ("agents: {a: {reads: {r: service/web.ready}, rules: [{do: look, when: q > 1}]}}", "there are: `r`"),
    ("agents: {a: {reads: {r: service/web.ready}, rules: [{do: look, when: r}]}}", "not to true or false"),
    ("agents: {a: {rules: [{do: look}], goal: r > 1}}", "it may read no names"),
    ("agents: {a: {python: 'a b'}}", "names no function"),
    ("agents: {a: {python: 'a:b', rules: [{do: look}]}}", "only one of the two is played"),
    ("agents: {a: {rules: [{do: look}], acts_max: 1000000}}", "which never ends"),
    ("agents: {a: {rules: [{do: look}], acts_max: 0}}", "is too small -- write a whole number from 1"),
    (f"agents: {{a: {AGENT}}}\n  environment: {{m: {{set: {{service/web.ready: 2}}, times: 100000}}}}", "never ends"),
    (f"agents: {{a: {AGENT}}}\n  environment: {{m: {{set: {{service/web.redy: 2}}}}}}", "did you mean `ready`?"),
    (
        f"agents: {{a: {AGENT}}}\n  environment: {{m: {{set: {{service/web.state: 2}}}}}}",
        "comes to a number, not to text",
    ),
    (f"agents: {{a: {AGENT}}}\n  environment: {{m: {{set: {{}}}}}}", "changes nothing"),
    (f"agents: {{a: {AGENT}}}\n  values: {{service/web.ready: 99}}", "is above `high`"),
    (f"agents: {{a: {AGENT}}}\n  starts: [{{service/web.redy: 1}}]", "did you mean `ready`?"),
    (f"agents: {{a: {AGENT}}}\n  faults: [crash, crash]", "a fault stands here twice"),
    (f"agents: {{a: {AGENT}}}\n  faults: [crahs]", "did you mean `crash`?"),
    (f"agents: {{a: {AGENT}}}\n  states_max: 100000000000", "fit into no memory"),
]


@pytest.mark.parametrize(("given", "expected"), REHEARSALS)
def test_a_rehearsal_that_cannot_be_played_or_does_not_end_is_told(given: str, expected: str) -> None:
    found = problems(f"{KINDS}rehearsal:\n  {given}\n")
    assert any(expected in told(item) and item.line > LINE for item in found), found


def test_a_rehearsal_that_begins_with_a_broken_invariant_is_told_at_its_start() -> None:
    text = f'{KINDS}invariants: {{i: {{let: {{r: "service/{{name}}.ready"}}, holds: r >= 2}}}}\nrehearsal:\n'
    read_world(f"{text}  agents: {{a: {AGENT}}}\n")
    found = problems(f"{text}  agents: {{a: {AGENT}}}\n  starts:\n    - {{}}\n    - {{service/web.ready: 1}}\n")
    assert [(item.line, item.path) for item in found] == [(LINE + 5, "rehearsal.starts[1]")]
    assert "invariant `i` is false from the start (name=web: `r` is 1)" in found[0].message


def test_a_circle_through_several_fields_is_shown() -> None:
    text = (
        KINDS
        + "dependencies:\n"
        + "".join(
            f'  - {{from: "service/{{name}}.{one}", to: "service/{{name}}.{two}"}}\n'
            for one, two in [("ready", "load"), ("load", "ready")]
        )
    )
    found = problems(text)
    assert [item.line for item in found] == [LINE + 2]
    circle = "`service/{name}.ready` → `service/{name}.load` → `service/{name}.ready`"
    assert circle in found[0].message


def test_links_that_only_lead_on_are_no_circle() -> None:
    chain = "".join(f"  - {{from: service/{one}.load, to: service/{one + 1}.load}}\n" for one in range(50))
    assert len(read_world(f"{KINDS}dependencies:\n{chain}").document.dependencies) == 50


def test_problems_of_rules_are_told_together_with_those_of_their_form() -> None:
    rule = 'i: {let: {r: "service/{name}.redy"}, holds: r > 1}'
    text = f"{KINDS}invariants:\n  {rule}\ndetectors: {{stale: {{x: 1}}}}\n"
    assert [item.path for item in problems(text)] == ["invariants.i.let.r", "detectors.stale.x"]


def test_a_problem_says_file_line_place_and_way_out_in_the_error() -> None:
    with pytest.raises(WorldError, match=r"w.yaml:1: nam: there is no such key \(and 1 more\)") as caught:
        read_world("nam: a\nversion: 3\n", "w.yaml")
    assert (caught.value.code, caught.value.hint) == ("bad_world", "did you mean `name`?")


def test_so_many_problems_are_told_as_people_read() -> None:
    assert len(problems("".join(f"k{number}: 1\n" for number in range(5_000)))) == PROBLEMS_SHOWN_MAX


def test_every_key_of_a_world_file_is_read() -> None:
    document = load_world(HERE / "rich.yaml").document
    left_out = [
        f"{section}.{name}"
        for section, items in {"": [document], "rehearsal": [document.rehearsal]}.items()
        for item in items
        for name in item.__struct_fields__
        if getattr(item, name) == () or getattr(item, name) == {}
    ]
    assert left_out == []
    assert msgspec.json.decode(msgspec.json.encode(document), type=WorldDocument) == document
    assert read_world(msgspec.json.encode(document).decode()).document == document


def test_the_lines_of_values_are_known() -> None:
    loaded = load_world(HERE / "rich.yaml")
    lines = (HERE / "rich.yaml").read_text(encoding="utf-8").split("\n")
    assert "units" not in lines[loaded.line(("tools", "scale", "touches", 0)) - 1]
    assert lines[loaded.line(("invariants", "work", "holds")) - 1].startswith("  work:")
    assert loaded.line(("invariants", "work", "no such")) == loaded.line(("invariants", "work"))
    assert (loaded.name, loaded.text) == (str(HERE / "rich.yaml"), "\n".join(lines))


def test_a_document_of_python_is_checked_without_lines() -> None:
    kind = KindSection("service/{name}", {"ready": FieldSection(low=3, high=1)})
    rule = InvariantSection({"r": "service/{name}.redy"}, "r >= 1")
    found = check_document(WorldDocument(kinds={"service": kind}, invariants={"i": rule}))
    assert [(item.line, item.path) for item in found] == [
        (0, "kinds.service.fields.ready.low"),
        (0, "invariants.i.let.r"),
    ]
    odd = check_document(WorldDocument(kinds={"service": KindSection(3, {})}))  # type: ignore[arg-type]
    assert "Expected `str`" in odd[0].message


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file") as caught:
        load_world(tmp_path / "world.yaml")
    assert caught.value.code == "no_such_file"
    with pytest.raises(UsageError, match="cannot be read: is a directory"):
        load_world(tmp_path)
    file = tmp_path / "world.yaml"
    file.write_bytes(b"name: a\nabout: \xff\n")
    with pytest.raises(WorldError, match=r"w.yaml:2: it is not UTF-8"):
        load_world(file, "w.yaml")
    file.write_bytes(b"\xef\xbb\xbfname: a\r\nversion: 1\r\n")
    assert load_world(file).document.name == "a"
    file.write_bytes(b"#" * 3_000_000)
    with pytest.raises(WorldError, match="larger than"):
        load_world(file)


def test_many_rules_are_checked_in_time_that_grows_with_their_number() -> None:
    kinds = "".join(f'  k{n}: {{id: "k{n}/{{name}}", fields: {{x: {{low: 0}}}}}}\n' for n in range(200))
    rules = "".join(f'  i{n}: {{let: {{x: "k{n % 200}/{{name}}.x"}}, holds: x <= {n}}}\n' for n in range(2_000))
    assert len(read_world(f"kinds:\n{kinds}invariants:\n{rules}").document.invariants) == 2_000
    links = "".join(f"  - {{from: k{n}/a.x, to: k{n}/b.x}}\n" for n in range(DEPENDENCIES_MAX + 1))
    assert "more than 1,000 dependencies" in problems(f"kinds:\n{kinds}dependencies:\n{links}")[0].message
    counts = range(PATTERNS_MAX + 1)
    stars = "".join(f'  i{n}: {{let: {{x: {{sum: "service/*{n}.ready"}}}}, holds: x < 1}}\n' for n in counts)
    assert "more than 500 patterns" in problems(f"{KINDS}invariants:\n{stars}")[0].message
    odd = "".join(f"  i{n}: {{let: {{x: odd/{n}.x}}, holds: x < 1}}\n" for n in range(2_000))
    assert len(problems(f"kinds:\n{kinds}invariants:\n{odd}")) == PROBLEMS_SHOWN_MAX
    many = "".join(f"  k{n}: {{id: k{n}, fields: {{x: {{}}}}}}\n" for n in range(KINDS_MAX + 1))
    assert f"there are {KINDS_MAX + 1} kinds" in problems(f"kinds:\n{many}")[0].message
