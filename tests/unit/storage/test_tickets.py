"""S3: tickets are made here, for one object, for a time."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.adapters.tickets import MAX_TEXT, HmacTicketOffice
from services.storage.application.ports import Presentation, Purpose, Ticket
from services.storage.domain.errors import TicketExpired, TicketInvalid

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD, NEW = b"o" * 32, b"n" * 32
OFFICE = HmacTicketOffice([NEW, OLD])
TICKET = Ticket(
    "01930000-0000-7000-8000-00000000000a",
    "u1",
    Purpose.READ,
    NOW + timedelta(hours=1),
    Presentation("a.mp4", True, "x"),
)


def test_a_ticket_comes_back_as_it_was() -> None:
    assert OFFICE.verify(OFFICE.issue(TICKET), Purpose.READ, NOW) == TICKET


def test_the_longest_ticket_fits() -> None:
    longest = replace(TICKET, owner_id="u" * 64, presentation=Presentation("😀" * 255, True, "x" * 128))
    text = OFFICE.issue(longest)
    assert len(text) <= MAX_TEXT
    assert OFFICE.verify(text, Purpose.READ, NOW) == longest


def test_a_ticket_ends_at_its_second() -> None:
    text = OFFICE.issue(TICKET)
    last = NOW + timedelta(minutes=59, seconds=59, microseconds=999_999)
    assert OFFICE.verify(text, Purpose.READ, last) == TICKET
    with pytest.raises(TicketExpired):
        OFFICE.verify(text, Purpose.READ, NOW + timedelta(hours=1))


def test_an_older_key_verifies_but_an_unknown_one_does_not() -> None:
    assert OFFICE.verify(HmacTicketOffice([OLD]).issue(TICKET), Purpose.READ, NOW) == TICKET
    for text in (HmacTicketOffice([b"x" * 32]).issue(TICKET), OFFICE.issue(TICKET)):
        with pytest.raises(TicketInvalid):
            HmacTicketOffice([OLD]).verify(text, Purpose.READ, NOW)


def test_a_forged_ticket_that_is_also_over_is_forged() -> None:
    text = HmacTicketOffice([b"x" * 32]).issue(TICKET)
    with pytest.raises(TicketInvalid):
        OFFICE.verify(text, Purpose.READ, NOW + timedelta(days=9))


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_every_turned_bit_is_noticed(place: int, bit: int) -> None:
    text = OFFICE.issue(TICKET)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raw[place % len(raw)] ^= 1 << bit
    with pytest.raises(TicketInvalid):
        OFFICE.verify(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), Purpose.READ, NOW)


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TicketInvalid):
        OFFICE.verify(text, Purpose.READ, NOW)


def test_one_spelling_only() -> None:
    text = OFFICE.issue(TICKET)
    for other in (text + "=", text + "\n", " " + text, text.replace(text[5], "%41", 1)):
        with pytest.raises(TicketInvalid):
            OFFICE.verify(other, Purpose.READ, NOW)


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, b"x" * 31]])
def test_weak_keys_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="at least"):
        HmacTicketOffice(keys)
