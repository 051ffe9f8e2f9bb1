"""Stories of acts whose reason is gone, or forbidden: `dynamodb-dns`, `collections-complaint`, `drift-corrector`."""

from __future__ import annotations

from collections.abc import Sequence

from comity.testing.corpus.script import Deed, FieldFacts, Script, Stories

BENIGN: Sequence[str] = ()


# ---- stale


def stalled_enactor(script: Script) -> Sequence[str]:
    """An enactor checks a plan once, stalls, and applies it over the newer one that another has applied since."""
    field = script.field("dns/regional.plan", "plan-40", FieldFacts(script.between(5, 30)))
    newest = script.field("dns/planner.latest", "plan-41", FieldFacts(1.0))
    at_s = script.between(100, 1200)
    read_s = at_s
    for generation in range(42, 42 + script.count(2, 5)):
        at_s += script.between(20, 90)
        script.act(at_s, Deed("planner", "plan", newest, f"plan-{generation}"))
        read = ((field, at_s + 3.0), (newest, at_s + 4.0))
        script.act(at_s + script.between(6, 15), Deed("enactor-2", "apply", field, f"plan-{generation}", reads=read))
    at_s += script.between(20, 120)
    call = script.act(at_s, Deed("enactor-1", "apply", field, "plan-41", reads=((field, read_s),)))
    script.label(script.number_of(call), script.number_of(call, outcome=True))
    return ["enactor-1", "enactor-2"]


def reminder_during_case(script: Script) -> Sequence[str]:
    """A reminder is decided on while no case is open, and sent when there is one."""
    case, sent = _collections(script)
    at_s = script.between(100, 2000)
    thinks_s = script.between(15, 90)
    script.act(at_s + thinks_s * script.between(0.1, 0.9), Deed("complaints", "open_case", case, "open"))
    deed = Deed("collections", "send_reminder", sent, 1, "add", reads=((case, at_s),))
    call = script.act(at_s + thinks_s, deed)
    script.label(script.number_of(call), script.number_of(call, outcome=True))
    return ["collections", "complaints"]


def shed_on_old_figures(script: Script) -> Sequence[str]:
    """Cost reads a low utilisation and thinks; routing brings traffic meanwhile; an instance is shed all the same."""
    used = script.field("db/main.utilisation", 22.0, FieldFacts(10.0, 2.0))
    share = script.field("route/web.share", 0.4, FieldFacts(20.0, 0.01))
    instances = script.field("db/main.instances", 5, FieldFacts(script.between(60, 180)))
    at_s = script.between(100, 1500)
    script.see(at_s, used, 22.0)
    script.act(at_s + 8.0, Deed("routing", "shift", share, 0.3, "add"))
    script.see(at_s + 20.0, used, round(script.between(34, 90), 1))
    thinks_s = script.between(25, 90)
    call = script.act(at_s + thinks_s, Deed("cost", "shed", instances, -1, "add", reads=((used, at_s + 1.0),)))
    script.label(script.number_of(call), script.see(at_s + thinks_s + script.between(20, 90), used, 99.0))
    return ["cost", "routing"]


def _collections(script: Script) -> tuple[str, str]:
    case = script.field("customer/17.case", "none", FieldFacts(1.0))
    sent = script.field("customer/17.reminders", 0, FieldFacts(1.0))
    script.premise("send_reminder", case, "value != 'open'")
    return case, sent


def case_closed(script: Script) -> Sequence[str]:
    """A case is opened and closed while somebody thinks: the premise holds again when the reminder is sent."""
    case, sent = _collections(script)
    at_s = script.between(100, 2000)
    script.act(at_s + 5.0, Deed("complaints", "open_case", case, "open"))
    script.act(at_s + script.between(8, 40), Deed("complaints", "close_case", case, "closed"))
    deed = Deed("collections", "send_reminder", sent, 1, "add", reads=((case, at_s),))
    script.act(at_s + script.between(42, 120), deed)
    return BENIGN


def sold_from_stock(script: Script) -> Sequence[str]:
    """Many sell from one stock, each on what it has read a while ago; there is enough for all."""
    stock = script.field("shop/item.stock", script.count(400, 900), FieldFacts(1.0, 1.0))
    script.premise("sell", stock, "value >= 20")
    at_s = script.between(100, 800)
    for _ in range(script.count(15, 30)):
        at_s += script.between(2, 20)
        deed = Deed(f"seller-{script.count(1, 6)}", "sell", stock, -script.count(1, 4), "add")
        thinks_s = script.between(10, 60)
        script.act(at_s, Deed(deed.actor, "sell", stock, deed.value, "add", reads=((stock, at_s - thinks_s),)))
    return BENIGN


def wavering_metric(script: Script) -> Sequence[str]:
    """A decision rests on a metric that wavers by a third between thought and act; nothing is declared of it."""
    load = script.field("service/web.load", 60.0, FieldFacts(5.0, 2.0))
    field = script.field("service/web.replicas", 12, FieldFacts(script.between(20, 60)))
    at_s = script.between(100, 500)
    for _ in range(script.count(4, 8)):
        script.see(at_s, load, round(60.0 * script.between(0.85, 1.18), 1))
        script.see(at_s + 10.0, load, round(60.0 * script.between(0.85, 1.18), 1))
        script.act(at_s + 15.0, Deed("performance", "scale", field, 1, "add", reads=((load, at_s + 1.0),)))
        at_s += script.between(90, 250)
    return BENIGN


# ---- against what is claimed


def corrected_migration(script: Script) -> Sequence[str]:
    """An operator switches the scaler off for a migration and says so; the drift corrector restores it."""
    enabled = script.field("autoscaler/main.enabled", True, FieldFacts(script.between(1, 10)))
    servers = script.field("fleet/web.servers", 80, FieldFacts(5.0))
    at_s = script.between(100, 1500)
    claim = script.claim((at_s, at_s + 1200.0), "person:operator", "autoscaler/main.*", "leave-as-is", "person")
    script.act(at_s + 2.0, Deed("runbook", "set", enabled, False, claim=claim))
    at_s += script.between(30, 900)
    call = script.act(at_s, Deed("corrector", "set", enabled, True))
    script.label(script.number_of(call), script.see(at_s + script.between(3, 12), servers, 22))
    return ["corrector"]


def down_during_sale(script: Script) -> Sequence[str]:
    """Capacity is claimed to go only up for a sale; the cost agent scales down."""
    field = script.field("service/shop.replicas", 30, FieldFacts(script.between(20, 90)))
    at_s = script.between(100, 1200)
    script.claim((at_s, at_s + 1500.0), "agent:performance", "service/shop.replicas", "up-only")
    for _ in range(script.count(1, 3)):
        at_s += script.between(40, 200)
        script.act(at_s, Deed("performance", "scale", field, 2, "add"))
    at_s += script.between(130, 600)
    call = script.act(at_s, Deed("cost", "scale", field, -script.count(1, 5), "add"))
    script.label(script.number_of(call), script.number_of(call, outcome=True))
    return ["cost"]


def drift_after_the_claim(script: Script) -> Sequence[str]:
    """The corrector waits for the end of the maintenance window; meanwhile it works beside it."""
    enabled = script.field("autoscaler/main.enabled", True, FieldFacts(script.between(1, 10)))
    beside = script.field("autoscaler/spare.enabled", True, FieldFacts(5.0))
    at_s = script.between(100, 1200)
    ends_s = at_s + script.between(200, 900)
    claim = script.claim((at_s, ends_s), "person:operator", "autoscaler/main.*", "leave-as-is", "person")
    script.act(at_s + 2.0, Deed("runbook", "set", enabled, False, claim=claim))
    script.see(at_s + 40.0, beside, value=False)
    script.act(at_s + 60.0, Deed("corrector", "set", beside, True))
    script.act(ends_s + script.between(5, 120), Deed("corrector", "set", enabled, True, caused_by="end-of-window"))
    return BENIGN


def up_during_sale(script: Script) -> Sequence[str]:
    """Others, too, scale up while capacity is claimed to go only up."""
    field = script.field("service/shop.replicas", 30, FieldFacts(script.between(20, 90)))
    at_s = script.between(100, 1200)
    script.claim((at_s, at_s + 1200.0), "agent:performance", "service/shop.replicas", "up-only")
    for number in range(script.count(3, 6)):
        at_s += script.between(40, 180)
        script.act(at_s, Deed(("forecast", "performance")[number % 2], "scale", field, script.count(1, 3), "add"))
    return BENIGN


STALE: tuple[Stories, Stories] = (
    {
        "stalled enactor": stalled_enactor,
        "reminder during a case": reminder_during_case,
        "shed on old figures": shed_on_old_figures,
    },
    {"case closed": case_closed, "sold from stock": sold_from_stock, "wavering metric": wavering_metric},
)
INTENT: tuple[Stories, Stories] = (
    {"corrected migration": corrected_migration, "down during a sale": down_during_sale},
    {"drift after the claim": drift_after_the_claim, "up during a sale": up_during_sale},
)
