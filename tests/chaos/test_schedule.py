"""A storm can be repeated, and leaves nothing out."""

from __future__ import annotations

from tests.chaos.schedule import HEAVY, LIGHT, Kind, schedule

KINDS = {
    kind.name: kind
    for kind in (
        Kind("kill", ("a", "b", "c"), weight=5),
        Kind("freeze", ("a", "b"), hold_s=(1.0, 2.0)),
        Kind("cut", ("a>b",), hold_s=(3.0, 4.0), light=True),
    )
}


def test_the_seed_decides_everything() -> None:
    assert schedule(7, 50, KINDS) == schedule(7, 50, KINDS)
    assert schedule(7, 50, KINDS) != schedule(8, 50, KINDS)


def test_the_first_faults_are_one_of_each_kind_and_the_next_leave_no_target_out() -> None:
    planned = schedule(7, 6, KINDS)
    assert {fault.kind for fault in planned[:3]} == set(KINDS)
    assert {(fault.kind, fault.target) for fault in planned} == {
        (kind.name, target) for kind in KINDS.values() for target in kind.targets
    }


def test_only_light_faults_strike_beside_another() -> None:
    planned = schedule(7, 200, KINDS)
    assert {fault.kind for fault in planned if fault.lane == LIGHT} == {"cut"}
    assert {fault.kind for fault in planned if fault.lane == HEAVY} == set(KINDS)


def test_a_fault_is_held_as_long_as_its_kind_says() -> None:
    for fault in schedule(7, 200, KINDS):
        shortest, longest = KINDS[fault.kind].hold_s
        assert shortest <= fault.hold_s <= longest
    assert [fault.number for fault in schedule(7, 200, KINDS)] == list(range(1, 201))
