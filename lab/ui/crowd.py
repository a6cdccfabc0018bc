"""How much guests may ask of the model before it has answered, so that none of them stops it for the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.errors import Busy

# Unanswered requests of one guest, and as many that were made ahead for them; of all who bring no cookie, and who
# therefore cannot be told apart; of everybody.
EACH, NAMELESS_ONES, ALL = 2, 25, 50
NAMELESS = "guest"
# The worker passes over what has waited for two minutes.
GIVEN_UP = 125.0  # seconds


class Crowded(Busy):
    """Too much waits for the model already; this was not asked."""


@dataclass(slots=True, eq=False)
class Place:
    """One request in line; its name is not known while it is on its way to the disk."""

    guest: str
    ahead: bool
    since: float
    request: str = ""


class Crowd:
    """Thread-safe. `answered` says whether a request is done with."""

    def __init__(self, answered: Callable[[str], bool]) -> None:
        self._answered = answered
        self._places: list[Place] = []
        self._lock = threading.Lock()

    def room(self, guest: str, ahead: bool = False) -> bool:
        with self._lock:
            return not guest or not self._hindrance(guest, ahead)

    def enter(self, guest: str, ahead: bool = False) -> Place:
        """A place in line for one more request, made ahead or not; raises Crowded where there is none."""
        with self._lock:
            if why := self._hindrance(guest, ahead):
                raise Crowded(f"{why}, so this was not asked. Try again in a moment.")
            place = Place(guest, ahead, time.monotonic())
            self._places.append(place)
            return place

    def leave(self, place: Place) -> None:
        """It was not asked after all."""
        with self._lock:
            self._places.remove(place)

    def _hindrance(self, guest: str, ahead: bool) -> str:
        self._places = [each for each in self._places if self._waits(each)]
        if len(self._places) >= ALL:
            return f"{ALL} requests of guests wait for the model already"
        mine = sum((each.guest, each.ahead) == (guest, ahead) for each in self._places)
        if mine >= (NAMELESS_ONES if guest == NAMELESS else EACH):
            return f"The model has {mine} of your requests to answer first"
        return ""

    def _waits(self, place: Place) -> bool:
        given_up = time.monotonic() - place.since > GIVEN_UP
        return not given_up and not (place.request and self._answered(place.request))
