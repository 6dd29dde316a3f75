from __future__ import annotations

from raysweep.cluster.nodes import Seat, Seats
from raysweep.cluster.resources import Resources


def test_seats_follow_the_nodes() -> None:
    seats = Seats(Resources(), None)
    assert seats.vacant({}, 0.0) == []
    seats.nodes = {"a": {"CPU": 2.0}, "b": {"CPU": 0.0}, "c": {"CPU": 1.0}}
    assert seats.vacant({}, 0.0) == [(Seat("a", 0),), (Seat("a", 1),), (Seat("c", 0),)]
    assert seats.vacant({Seat("a", 0): 1, Seat("c", 0): 1}, 0.0) == [(Seat("a", 1),)]


def test_no_more_than_the_limit_are_taken() -> None:
    seats = Seats(Resources(), 3)
    seats.nodes = {"a": {"CPU": 2.0}, "b": {"CPU": 2.0}}
    assert len(seats.vacant({}, 0.0)) == 3
    assert seats.vacant({Seat("a", 0): 1, Seat("a", 1): 1}, 0.0) == [(Seat("b", 0),)]
    assert seats.vacant({Seat("a", n): 1 for n in range(3)}, 0.0) == []


def test_seats_are_joined_parted_and_given_up() -> None:
    a = [Seat("a", number) for number in range(4)]
    seats = Seats(Resources(), None)
    seats.nodes = {"a": {"CPU": 4.0}}
    assert seats.reshape([a[3], a[1]], (2,)) == [(a[3], a[1])]
    assert seats.vacant({}, 0.0) == [(a[0],), (a[2],), (a[3], a[1])]
    assert seats.vacant({a[3]: 1, a[1]: 1}, 0.0) == [(a[0],), (a[2],)]
    assert seats.reshape([a[3], a[1]], (1, 1)) == [(a[3],), (a[1],)]
    assert seats.vacant({}, 0.0) == [(seat,) for seat in a]
    assert seats.reshape(a[:3], ()) == []
    assert seats.vacant({a[3]: 1}, 0.0) == []
    assert len(seats.vacant({}, 0.0)) == 4, "all else is lost"


def test_a_joined_slot_takes_the_room_of_all_its_seats() -> None:
    seats = Seats(Resources(), 3)
    seats.nodes = {"a": {"CPU": 4.0}}
    seats.reshape([Seat("a", 1), Seat("a", 2), Seat("a", 3)], (3,))
    assert seats.vacant({Seat("a", 0): 1}, 0.0) == [], "one and three are more than three"
    assert seats.vacant({}, 0.0) == [(Seat("a", 0),)]


def test_a_seat_that_fails_is_left_alone_for_longer_and_longer() -> None:
    seats = Seats(Resources(), None)
    seats.nodes = {"a": {"CPU": 1.0}}
    waits, now_s = [], 100.0
    for _ in range(12):
        seats.failed(Seat("a", 0), now_s)
        began_s = now_s
        while not seats.vacant({}, now_s):
            now_s += 0.25
        waits.append(now_s - began_s)
    assert waits[:4] == [0.5, 1.0, 2.0, 4.0]
    assert waits[-1] == max(waits) == 60.0
    seats.succeeded(Seat("a", 0))
    assert seats.vacant({}, 0.0) == [(Seat("a", 0),)]
