"""Both providers by one contract, and Stripe's with everything that can go wrong on the way (A6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import stripe

from services.auth.adapters.invoice_billing import InvoiceBilling
from services.auth.adapters.stripe_billing import StripeBilling, StripeOptions
from services.auth.adapters.stripe_events import StripeEvents
from services.auth.application.billing_ports import BillingProvider
from services.auth.application.payments import PAUSE, Payments
from services.auth.application.subscriptions import Subscriptions
from services.auth.domain.billing import BillingRules
from services.auth.domain.billing_errors import BillingEventsNotTaken, ChargeNotFound, ChargeSettled, SignatureInvalid
from services.auth.domain.charges import Charge, ChargeState, Result
from services.auth.domain.plans import Plan, Plans
from services.runtime.ids import new_id
from tests.fakes.auth import START, FakeClock
from tests.fakes.auth_billing import FakeBillingStore
from tests.fakes.auth_credits import FakeCreditStore
from tests.fakes.stripe_server import (
    API_KEY,
    DECLINED_CARD,
    OK_CARD,
    SECRET,
    SLOW_BANK_CARD,
    Refusal,
    StripeServer,
    signed,
    stripe_server,
)

DAY = timedelta(days=1)
PLANS = Plans(
    Plan("pro", price=3100, credits=100), Plan("studio", price=9300, credits=400), Plan("mini", price=20, credits=1)
)


@dataclass
class Bench:
    """The use cases over one provider, one user, and somebody who pays."""

    store: FakeBillingStore
    payments: Payments
    subscriptions: Subscriptions
    provider: BillingProvider
    server: StripeServer
    clock: FakeClock
    ada: str

    async def subscribe(self, plan: str = "pro") -> Charge:
        """The charge."""
        charge = (await self.subscriptions.subscribe(self.ada, plan)).charge
        assert charge is not None
        return charge

    async def pay(self, charge: Charge, card: str = OK_CARD) -> None:
        """As a person does it: on the page, or by a transfer that the operator sees."""
        if charge.provider == "invoice":
            await self.payments.mark_paid(charge.charge_id, "")
            return
        for body, signature in self.server.pay(charge.reference, card, self.clock.now()):
            await self.payments.receive(body, signature)

    async def charge(self) -> Charge:
        """The newest one."""
        return (await self.subscriptions.charges_of(self.ada, "", 1))[0]

    async def state(self) -> str:
        """Of the subscription."""
        current = await self.subscriptions.current(self.ada)
        return current.subscription.state.value if current.subscription else "none"

    async def later(self, by: timedelta) -> None:
        """Let time pass, and happen what is due."""
        self.clock.advance(by)
        await self.subscriptions.on_time()
        await self.payments.run()


@pytest.fixture
async def server() -> AsyncIterator[StripeServer]:
    async with stripe_server() as running:
        yield running


async def _bench(server: StripeServer, name: str) -> AsyncIterator[Bench]:
    ada, clock = str(uuid4()), FakeClock()
    options = StripeOptions(API_KEY, "https://t2m.example/billing", server.url, timeout_s=0.3)
    by_card = StripeBilling(options)
    provider: BillingProvider = by_card if name == "stripe" else InvoiceBilling()
    rules = BillingRules(retries=(1 * DAY, 3 * DAY), provider=name)
    store = FakeBillingStore(FakeCreditStore({ada: "free"}), PLANS, rules, new_id)
    payments = Payments(store, {name: provider}, clock, StripeEvents(SECRET) if name == "stripe" else None)
    yield Bench(store, payments, Subscriptions(store, payments, PLANS, clock), provider, server, clock, ada)
    await by_card.close()


@pytest.fixture(params=["invoice", "stripe"])
async def either(request: pytest.FixtureRequest, server: StripeServer) -> AsyncIterator[Bench]:
    async for bench in _bench(server, request.param):
        yield bench


@pytest.fixture
async def bench(server: StripeServer) -> AsyncIterator[Bench]:
    async for made in _bench(server, "stripe"):
        yield made


@pytest.fixture
async def payer(bench: Bench) -> Bench:
    """Somebody with a subscription and a card."""
    await bench.pay(await bench.subscribe())
    assert await bench.state() == "active"
    return bench


# -- both -------------------------------------------------------------------------------------------------------------


async def test_A6_the_first_payment_waits_for_the_payer(either: Bench) -> None:
    """A6."""
    charge = await either.subscribe()
    assert (charge.state, await either.state()) == (ChargeState.OPEN, "incomplete")
    await either.pay(charge)
    assert ((await either.charge()).state, await either.state()) == (ChargeState.PAID, "active")


async def test_A6_the_same_question_has_the_same_answer(either: Bench) -> None:
    """A6: whoever asks again has asked once."""
    charge = await either.subscribe()
    customer = await either.store.customer(either.ada, charge.provider) or ""
    answers = [await either.provider.collect(charge, customer) for _ in range(3)]
    assert {(each.result, each.reference) for each in answers} == {(Result.OPEN, charge.reference)}
    await either.pay(charge)
    assert len(either.server.pages) == len(either.server.cards)


async def test_A6_what_is_withdrawn_is_not_paid(either: Bench) -> None:
    """A6: asked twice, too."""
    charge = await either.subscribe()
    await either.subscriptions.cancel(either.ada)
    await either.payments.run()
    assert ((await either.charge()).state, await either.state()) == (ChargeState.VOID, "none")
    customer = await either.store.customer(either.ada, charge.provider) or ""
    assert (await either.provider.void(charge, customer)).result is Result.VOIDED
    assert [page["status"] for page in either.server.pages.values()] == ["expired"] * len(either.server.pages)


async def test_A6_a_renewal_that_nobody_pays_ends_it(either: Bench) -> None:
    """A6: and leaves nothing to be paid."""
    await either.pay(await either.subscribe())
    for cards in either.server.cards.values():
        cards.clear()
    await either.later(31 * DAY)
    assert await either.state() == "past_due"
    await either.later(14 * DAY)
    assert (await either.state(), (await either.charge()).state) == ("none", ChargeState.VOID)


# -- by invoice -------------------------------------------------------------------------------------------------------


async def test_A6_the_operator_says_what_is_paid(server: StripeServer) -> None:
    """A6: once, and nothing that is not open; there are no events."""
    async for bench in _bench(server, "invoice"):
        charge = await bench.subscribe()
        await bench.payments.mark_paid(charge.charge_id, "bank 17")
        assert (await bench.charge()).reference == "bank 17"
        with pytest.raises(ChargeSettled):
            await bench.payments.mark_paid(charge.charge_id, "bank 18")
        with pytest.raises(ChargeNotFound):
            await bench.payments.mark_paid(str(uuid4()), "")
        with pytest.raises(BillingEventsNotTaken):
            await bench.payments.receive(*signed(b"{}"))


async def test_A6_the_operator_does_not_speak_for_stripe(bench: Bench) -> None:
    """A6: its charges are paid when Stripe says so."""
    with pytest.raises(ChargeNotFound):
        await bench.payments.mark_paid((await bench.subscribe()).charge_id, "")


# -- by Stripe --------------------------------------------------------------------------------------------------------


async def test_A6_the_card_of_the_first_payment_pays_the_later_ones(payer: Bench) -> None:
    """A6: upgrade and renewal, without anybody there; every request that moves money has a key of its own."""
    payer.clock.advance(10 * DAY)
    current = await payer.subscriptions.upgrade(payer.ada, "studio")
    assert current.plan == "studio"
    await payer.later(21 * DAY)
    assert (await payer.state(), payer.server.collected()) == ("active", 3100 + 4200 + 9300)
    keys = [asked.key for asked in payer.server.asked if asked.method == "POST"]
    assert all(keys)
    assert len(set(keys)) == len(keys)


async def test_A6_stripe_learns_nothing_about_anybody(payer: Bench) -> None:
    """A6: the fields that leave: amounts, the plan's name, random ids."""
    await payer.later(31 * DAY)
    [made] = payer.server.posts("/v1/customers")
    assert made.fields == {}
    sent = {name for asked in payer.server.asked for name in asked.fields}
    price = "line_items[0][price_data]"
    metadata = {"metadata[charge_id]", "metadata[attempt]"}
    page = {"mode", "client_reference_id", "line_items[0][quantity]", f"{price}[currency]", f"{price}[unit_amount]"}
    page |= {f"{price}[product_data][name]", "success_url", "cancel_url"}
    page |= {
        f"payment_intent_data[{name}" for name in ("setup_future_usage]", "metadata][charge_id]", "metadata][attempt]")
    }
    payment = {"amount", "currency", "customer", "payment_method", "off_session", "confirm"}
    assert sent == metadata | page | payment | {"type", "limit"}


async def test_A6_a_card_that_is_declined_and_a_page_to_pay_on(payer: Bench) -> None:
    """A6: 402; whoever comes back is sent to a page, and the new card is the one that is charged from then on."""
    payer.server.cards = {customer: [DECLINED_CARD] for customer in payer.server.cards}
    await payer.later(31 * DAY)
    charge = await payer.charge()
    assert (await payer.state(), charge.failure) == ("past_due", "Your card was declined.")
    assert charge.next_attempt_at == payer.clock.now() + 1 * DAY
    charge = await payer.subscribe()
    assert (charge.state, charge.page_url != "") == (ChargeState.OPEN, True)
    await payer.pay(charge)
    await payer.later(28 * DAY)
    assert (await payer.state(), payer.server.collected()) == ("active", 3 * 3100)


async def test_A6_an_amount_that_stripe_refuses_is_declined_in_words(payer: Bench) -> None:
    """A6: below Stripe's least amount; the plan stays."""
    payer.clock.advance(31 * DAY - timedelta(minutes=5))
    charge = (await payer.subscriptions.upgrade(payer.ada, "studio")).charge
    assert charge is not None
    assert charge.failure == "the payment provider refuses this amount (amount_too_small)"
    assert (await payer.state(), payer.server.collected()) == ("active", 3100)


@pytest.mark.parametrize("served", [False, True], ids=["lost", "answer lost"])
@pytest.mark.parametrize("status", [429, 500, 503, 0, -1], ids=["429", "500", "503", "hung up", "timeout"])
async def test_A6_whatever_happens_on_the_way_money_moves_once(payer: Bench, status: int, served: bool) -> None:
    """A6: also when Stripe did what it was asked and the answer was lost: asked again with the same key."""
    payer.server.script = [Refusal(status, served)] * 2
    await payer.later(31 * DAY)
    assert await payer.state() == "past_due"
    for _ in range(2):
        await payer.later(PAUSE)
    assert (await payer.state(), payer.server.collected()) == ("active", 2 * 3100)
    assert len({asked.key for asked in payer.server.posts("/v1/payment_intents")}) == 1
    assert len(payer.server.payments) == 2


async def test_A6_stripe_may_forget_the_key(payer: Bench) -> None:
    """A6: after a day; what was paid is looked up before a card is charged."""
    payer.server.script = [Refusal(500, served=True)] * 2
    await payer.later(31 * DAY)
    assert await payer.state() == "past_due"
    payer.server.forget_keys()
    await payer.later(2 * DAY)
    assert (await payer.state(), payer.server.collected()) == ("active", 2 * 3100)


async def test_A6_a_bank_that_takes_its_time(payer: Bench) -> None:
    """A6: open until the event; a failure is the end of that attempt."""
    payer.server.cards = {customer: [SLOW_BANK_CARD] for customer in payer.server.cards}
    await payer.later(31 * DAY)
    charge = await payer.charge()
    assert charge.state is ChargeState.OPEN
    intent = payer.server.payments[charge.reference]
    await payer.payments.receive(*payer.server.event("payment_intent.payment_failed", intent, payer.clock.now()))
    charge = await payer.charge()
    assert (charge.state, charge.attempt, await payer.state()) == (ChargeState.DUE, 2, "past_due")


async def test_A6_paid_while_it_was_cancelled(bench: Bench) -> None:
    """A6: the page was paid before it could be closed; the money goes back, once."""
    charge = await bench.subscribe()
    events = bench.server.pay(charge.reference)
    await bench.subscriptions.cancel(bench.ada)
    bench.server.script = [Refusal(500, served=True, path="/v1/refunds")] * 2
    for body, signature in events:
        await bench.payments.receive(body, signature)
    await bench.later(timedelta(0))
    await bench.later(PAUSE)
    assert (await bench.state(), (await bench.charge()).state) == ("none", ChargeState.REFUNDED)
    assert (bench.server.collected(), len(bench.server.refunds)) == (0, 1)


async def test_A6_the_key_of_the_api_reaches_no_log(server: StripeServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A6: Stripe quotes a wrong key in its error."""
    async for bench in _bench(server, "stripe"):
        for answer in (401, 403):
            bench.server.script.append(Refusal(answer, path="/v1/customers"))
        bench.server.serve = lambda _: (401, {"error": {"message": f"Invalid API Key: {API_KEY}"}})  # type: ignore[assignment,method-assign]
        assert (await bench.subscribe()).state is ChargeState.DUE
    seen = capsys.readouterr()
    assert "billing provider away" in seen.out
    assert API_KEY not in seen.out + seen.err


# -- events -----------------------------------------------------------------------------------------------------------


async def test_A6_events_in_any_order_and_more_than_once(bench: Bench) -> None:
    """A6: all that Stripe could send of one payment, backwards, twice, and a page that expires although it was paid."""
    charge = await bench.subscribe()
    paid = bench.server.pay(charge.reference)
    page = bench.server.pages[charge.reference]
    late = [bench.server.event("checkout.session.expired", page)]
    late.append(bench.server.event("payment_intent.payment_failed", bench.server.payments[page["payment_intent"]]))
    for body, signature in [*late[1:], *reversed(paid), *paid, *late, *paid]:
        await bench.payments.receive(body, signature)
    assert (await bench.state(), (await bench.charge()).state) == ("active", ChargeState.PAID)


async def test_A6_an_event_that_was_lost_is_made_up_for(bench: Bench) -> None:
    """A6: whoever comes back after paying has paid."""
    bench.server.pay((await bench.subscribe()).reference)
    assert (await bench.subscribe()).state is ChargeState.PAID
    assert (await bench.state(), bench.server.collected()) == ("active", 3100)


async def test_A6_a_page_that_is_gone_is_replaced(bench: Bench) -> None:
    """A6: the same one for a day, then a new one, though nobody said that it expired."""
    first = await bench.subscribe()
    assert (await bench.subscribe()).page_url == first.page_url
    bench.server.pages[first.reference]["status"] = "expired"
    bench.server.forget_keys()
    second = await bench.subscribe()
    assert (second.state, second.page_url != first.page_url) == (ChargeState.OPEN, True)
    await bench.pay(second)
    assert (await bench.state(), bench.server.collected()) == ("active", 3100)


async def test_A6_a_page_that_expired_can_be_asked_for_again(bench: Bench) -> None:
    """A6: an old event about it does not close the new one."""
    first = await bench.subscribe()
    expired = bench.server.event("checkout.session.expired", bench.server.pages[first.reference])
    await bench.payments.receive(*expired)
    assert (await bench.charge()).failure == "the page to pay on has expired"
    second = await bench.subscribe()
    again = bench.server.event("checkout.session.expired", bench.server.pages[first.reference])
    for body, signature in (expired, again):
        await bench.payments.receive(body, signature)
    assert (await bench.charge()).state is ChargeState.OPEN
    await bench.pay(second)
    assert (await bench.state(), bench.server.collected()) == ("active", 3100)


@pytest.mark.parametrize(
    "subject",
    [
        {"metadata": {}},
        {},
        {"metadata": {"charge_id": "nothing", "attempt": "1"}},
        {"metadata": {"charge_id": "9b0f8f8a-0000-4000-8000-000000000000", "attempt": "1"}},
        {"metadata": {"charge_id": "9b0f8f8a-0000-4000-8000-000000000000", "attempt": "²"}},
    ],
)
async def test_A6_events_of_no_use_are_taken(bench: Bench, subject: dict[str, Any]) -> None:
    """A6: or Stripe would send them for days."""
    for kind in ("payment_intent.succeeded", "customer.created", "checkout.session.completed"):
        await bench.payments.receive(*bench.server.event(kind, subject))


async def test_A6_an_event_about_another_amount_is_refused(bench: Bench) -> None:
    """A6: signed or not."""
    charge = await bench.subscribe()
    page = {**bench.server.pages[charge.reference], "amount_total": 1, "payment_status": "paid"}
    with pytest.raises(SignatureInvalid, match="not about what was charged"):
        await bench.payments.receive(*bench.server.event("checkout.session.completed", page))
    assert await bench.state() == "incomplete"


BODY = b'{"id": "evt_1", "type": "ping", "data": {"object": {}}}'
GOOD = signed(BODY)[1]


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (BODY, ""),
        (BODY, "nonsense"),
        (BODY, GOOD.replace("v1=", "v0=")),
        (BODY, GOOD.partition(",")[2]),
        (BODY, GOOD.replace("t=", "t=9")),
        (BODY, "t=1,t=2," + GOOD.partition(",")[2]),
        (BODY, signed(BODY, secret="whsec_another")[1]),
        (BODY, signed(BODY, START - timedelta(minutes=5, seconds=1))[1]),
        (BODY, signed(BODY, START + timedelta(minutes=5, seconds=1))[1]),
        (BODY, "t=abc,v1=00"),
        (BODY, GOOD.partition("v1=")[0] + "v1=é"),
        (BODY + b" ", GOOD),
        (BODY.replace(b"evt_1", b"evt_2"), GOOD),
        (b"", GOOD),
        signed(b"\xff\xfe"),
        signed(b"not json"),
        signed(b"[]"),
        signed(b'{"id": 7, "type": "ping", "data": {"object": {}}}'),
        signed(b'{"id": "evt", "type": "ping", "data": []}'),
        signed(b'{"id": "evt", "type": "ping", "data": {"object": "x"}}'),
        signed(b'{"id": "evt", "type": "ping"}'),
    ],
)
async def test_A6_a_signature_that_is_not_good_is_refused(bench: Bench, body: bytes, signature: str) -> None:
    """A6: forged, altered, too old, from the future, or no event at all."""
    with pytest.raises(SignatureInvalid):
        await bench.payments.receive(body, signature)


@pytest.mark.parametrize("age", [0, 299, 300, -300])
async def test_A6_a_signature_lasts_five_minutes(bench: Bench, age: int) -> None:
    """A6: in both directions; while a secret is rolled there are two, and the stamp may stand anywhere."""
    body, signature = signed(BODY, START - timedelta(seconds=age))
    stamp, _, rest = signature.partition(",")
    for header in (signature, f"{rest},{stamp}", f"{stamp},v1=00ff,{rest}"):
        await bench.payments.receive(body, header)


def test_A6_our_signatures_are_those_of_the_package() -> None:
    """A6: the tests sign as Stripe's own package does."""
    made = stripe.WebhookSignature.generate_signature_header(BODY.decode(), SECRET, int(START.timestamp()))
    assert GOOD.startswith(made)
