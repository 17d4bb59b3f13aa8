"""A real HTTP server that plays Stripe: customers, cards, pages, payments, refunds, idempotency keys, signed events."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from tests.fakes.auth import START

API_KEY = "sk_test_of_nobody"
SECRET = "whsec_of_nobody"
OK_CARD, DECLINED_CARD, SLOW_BANK_CARD = "pm_ok", "pm_declined", "pm_processing"
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    fields: dict[str, str]
    key: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to do with a request instead of serving it, or, when `served`, after it was served."""

    status: int = 0
    """0: hang up without an answer; -1: never answer."""
    served: bool = False
    path: str = "/v1/payment_intents"


class StripeServer:
    """Its state, what it was asked, and what it is told to do wrong."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Refusal] = []
        self.cards: dict[str, list[str]] = {}
        self.payments: dict[str, dict[str, Any]] = {}
        self.pages: dict[str, dict[str, Any]] = {}
        self.refunds: list[str] = []
        self.url = ""
        self.charged: Callable[[], Awaitable[None]] | None = None
        """Called when a card was charged, before the answer."""
        self._answers: dict[str, tuple[tuple[str, str], int, dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    def posts(self, path: str) -> list[Asked]:
        """The POST requests to this path, in order."""
        return [asked for asked in self.asked if (asked.method, asked.path) == ("POST", path)]

    def forget_keys(self) -> None:
        """As Stripe does after a day."""
        self._answers.clear()

    def collected(self) -> int:
        """Money that has moved, less what was paid back."""
        paid = [each for each in self.payments.values() if each["status"] == "succeeded"]
        return sum(each["amount"] for each in paid if each["id"] not in self.refunds)

    def pay(self, page_id: str, card: str = OK_CARD, at: datetime = START) -> list[tuple[bytes, str]]:
        """Somebody pays on the page, and Stripe keeps the card; the events that follow, in Stripe's order."""
        page = self.pages[page_id]
        assert page["status"] == "open"
        intent = self._payment(page["customer"], page["amount_total"], page["currency"], page["intent_metadata"])
        intent["status"] = "succeeded"
        self.cards[page["customer"]].insert(0, card)
        page |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
        events = (("payment_intent.succeeded", intent), ("checkout.session.completed", page))
        return [self.event(kind, subject, at) for kind, subject in events]

    def event(self, kind: str, subject: dict[str, Any], at: datetime = START) -> tuple[bytes, str]:
        """A signed event: body and header."""
        event = {"id": f"evt_{next(self._numbers)}", "object": "event", "type": kind, "data": {"object": subject}}
        return signed(json.dumps(event, indent=2).encode(), at)

    def _payment(self, customer: str, amount: int, currency: str, metadata: dict[str, str]) -> dict[str, Any]:
        name = f"pi_{next(self._numbers)}"
        intent: dict[str, Any] = {
            "id": name,
            "object": "payment_intent",
            "customer": customer,
            "amount": amount,
            "currency": currency,
            "metadata": metadata,
            "status": "requires_payment_method",
        }
        self.payments = {name: intent, **self.payments}
        return intent

    def serve(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        if asked.headers.get("authorization") != f"Bearer {API_KEY}":
            return _error(401, "invalid_request_error", "api_key", f"Invalid API Key provided: {API_KEY}")
        if asked.key and asked.key in self._answers:
            first, status, body = self._answers[asked.key]
            if first != (asked.path, json.dumps(asked.fields, sort_keys=True)):
                return _error(400, "idempotency_error", "", "Keys can only be used with the same parameters.")
            return status, body
        status, body = self._serve(asked)
        if asked.key:
            self._answers[asked.key] = ((asked.path, json.dumps(asked.fields, sort_keys=True)), status, dict(body))
        return status, body

    def _serve(self, asked: Asked) -> tuple[int, dict[str, Any]]:
        match asked.method, asked.path.removeprefix("/v1/").split("/"):
            case "POST", ["customers"]:
                customer = f"cus_{next(self._numbers)}"
                self.cards[customer] = []
                return 200, {"id": customer, "object": "customer"}
            case "GET", ["customers", customer, "payment_methods"]:
                return 200, _list({"id": card, "object": "payment_method"} for card in self.cards[customer][:1])
            case "GET", ["payment_intents"]:
                return 200, _list(
                    each for each in self.payments.values() if each["customer"] == asked.fields["customer"]
                )
            case "POST", ["payment_intents"]:
                return self._charge(asked.fields)
            case "POST", ["payment_intents", name, "cancel"]:
                if self.payments[name]["status"] in ("succeeded", "processing"):
                    return _error(400, "invalid_request_error", "payment_intent_unexpected_state", "It was paid.")
                self.payments[name]["status"] = "canceled"
                return 200, self.payments[name]
            case "GET", ["checkout", "sessions"]:
                return 200, _list(each for each in self.pages.values() if each["customer"] == asked.fields["customer"])
            case "POST", ["checkout", "sessions"]:
                return self._open(asked.fields)
            case "POST", ["checkout", "sessions", name, "expire"]:
                if self.pages[name]["status"] != "open":
                    return _error(400, "invalid_request_error", "", "Only open sessions can be expired.")
                self.pages[name]["status"] = "expired"
                return 200, self.pages[name]
            case "POST", ["refunds"]:
                if asked.fields["payment_intent"] in self.refunds:
                    return _error(400, "invalid_request_error", "charge_already_refunded", "It was refunded.")
                self.refunds.append(asked.fields["payment_intent"])
                return 200, {"id": f"re_{next(self._numbers)}", "object": "refund", "status": "succeeded"}
        return _error(404, "invalid_request_error", "", f"Unrecognized request URL ({asked.method}: {asked.path}).")

    def _charge(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        card, customer = fields["payment_method"], fields["customer"]
        assert (fields["confirm"], fields["off_session"]) == ("true", "true")
        assert card in self.cards[customer]
        if int(fields["amount"]) < 50:
            return _error(400, "invalid_request_error", "amount_too_small", "Amount must be at least 50 cents.")
        intent = self._payment(customer, int(fields["amount"]), fields["currency"], _metadata(fields, "metadata"))
        if card == DECLINED_CARD:
            return _error(402, "card_error", "card_declined", "Your card was declined.")
        intent["status"] = "processing" if card == SLOW_BANK_CARD else "succeeded"
        return 200, intent

    def _open(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        assert fields["mode"] == "payment"
        assert fields["payment_intent_data[setup_future_usage]"] == "off_session"
        name = f"cs_{next(self._numbers)}"
        page = {
            "id": name,
            "object": "checkout.session",
            "customer": fields["customer"],
            "amount_total": int(fields["line_items[0][price_data][unit_amount]"]),
            "currency": fields["line_items[0][price_data][currency]"],
            "metadata": _metadata(fields, "metadata"),
            "intent_metadata": _metadata(fields, "payment_intent_data[metadata]"),
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "url": f"https://checkout.stripe.example/{name}",
        }
        self.pages = {name: page, **self.pages}
        return 200, page

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                refusal = next(
                    (each for each in self.script if each.path == asked.path and asked.method == "POST"), None
                )
                if refusal is None or refusal.served:
                    status, body = self.serve(asked)
                    if self.charged is not None and (asked.method, asked.path) == ("POST", "/v1/payment_intents"):
                        await self.charged()
                if refusal is not None:
                    self.script.remove(refusal)
                    if refusal.status == 0:
                        break
                    if refusal.status < 0:
                        await reader.read()
                        break
                    status, body = _error(refusal.status, "api_error", "", "as scripted")
                answer = json.dumps(body).encode()
                head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n"
                writer.write(head.encode() + answer)
                await writer.drain()
        except ConnectionError:
            pass  # whoever asked was killed
        finally:
            writer.close()


@asynccontextmanager
async def stripe_server() -> AsyncGenerator[StripeServer]:
    """A running one."""
    stripe = StripeServer()
    server = await asyncio.start_server(stripe.handle, "127.0.0.1", 0)
    stripe.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stripe
    finally:
        server.close()


def signed(body: bytes, at: datetime = START, secret: str = SECRET) -> tuple[bytes, str]:
    """Body and `Stripe-Signature`, by the scheme as documented and not by the package that verifies it."""
    stamp = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, f"t={stamp},v1={digest},v0=00ff"


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    async with asyncio.timeout(DEADLINE_S):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
    first, *lines = head.splitlines()
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    fields = dict(parse_qsl(body.decode() or query, keep_blank_values=True))
    return Asked(method, path, fields, headers.get("idempotency-key", ""), headers)


def _list(items: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": False, "url": "/v1"}


def _metadata(fields: dict[str, str], name: str) -> dict[str, str]:
    start = f"{name}["
    return {key.removeprefix(start)[:-1]: value for key, value in fields.items() if key.startswith(start)}


def _error(status: int, kind: str, code: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"type": kind, "message": message, **({"code": code} if code else {})}}
