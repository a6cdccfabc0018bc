"""The forms of rude sentence that the world can make polite, and what fits into each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Manner:
    """One form of rude sentence: the pairs (first slot, second slot) that fit, or single values, and its templates."""

    topic: str
    rude: str
    keys: tuple[str, ...]
    fitting: Mapping[str, tuple[str, ...]]
    polite: tuple[str, ...]
    short: str
    still_rude: tuple[str, ...]


def _actions() -> Mapping[str, tuple[str, ...]]:
    """Which objects each action fits."""
    table = (
        (
            "give me;pass me;hand me;bring me;fetch me;lend me;find me",
            (
                "salt;pepper;butter;jam;honey;bread;sugar;milk;scissors;glue;hammer;ladder;umbrella;blanket;map;torch;"
                "blanket;map;torch;teapot;newspaper;towel;pencil;big spoon;cake tin;red scarf;last biscuit;"
                "tape measure;garden hose;other glove"
            ),
        ),
        (
            "wash;clean;dry;put away",
            "cups;plates;forks;pans;teapot;boots;brushes;cake tin;big spoon;muddy shoes;blue bowl;toy train;lunch box",
        ),
        ("open;close;lock", "door;window;gate;cupboard;suitcase;shed;garage;chest;back door;cellar;greenhouse"),
        ("turn on;turn off", "lamp;radio;heater;television;fan;oven;kettle;music;porch light;washing machine"),
        ("feed;look after", "cat;dog;hens;goldfish;rabbits;ducks;pony;goats;tortoise;baby birds"),
        ("move;carry;lift;hold", "table;sofa;boxes;piano;bench;ladder;suitcase;big mirror;flower pot;shopping bags"),
        ("water;pick", "roses;tomatoes;strawberries;sunflowers;herbs;beans;tulips"),
        ("mend;paint", "fence;chair;gate;bench;shed;bird house;toy boat;garden wall"),
    )
    return MappingProxyType({act: tuple(things.split(";")) for acts, things in table for act in acts.split(";")})


def _singles(values: str) -> Mapping[str, tuple[str, ...]]:
    """A table for a form with one slot."""
    return MappingProxyType({"": tuple(values.split(";"))})


MANNERS: tuple[Manner, ...] = (
    Manner(
        "requests",
        "{action} the {object}",
        ("action", "object"),
        _actions(),
        (
            "Could you please {action} the {object}?",
            "Would you kindly {action} the {object}?",
            "Please could you {action} the {object} for me?",
            "Would you be so kind as to {action} the {object}?",
            "When you have a moment, could you {action} the {object}?",
        ),
        "The {object}, please?",
        (
            "Will you {action} the {object} or must I shout?",
            "Why are you too lazy to {action} the {object}?",
            "Just {action} the {object} right now!",
            "Hurry up and {action} the {object}!",
        ),
    ),
    Manner(
        "directions",
        "tell me where the {place} is",
        ("place",),
        _singles(
            "station;library;post office;bakery;market;museum;bus stop;harbour;park;hospital;bank;school;"
            "town hall;swimming pool;castle;hotel;toilet;book shop;lift;beach;cinema;chemist;old bridge;"
            "nearest cafe;flower shop;ticket office;zoo;way out"
        ),
        (
            "Excuse me, could you tell me where the {place} is?",
            "Would you mind telling me where the {place} is?",
            "Please could you show me where the {place} is?",
            "May I ask you where the {place} is?",
        ),
        "The {place}, please?",
        (
            "Tell me at once where the {place} is!",
            "Are you too silly to know where the {place} is?",
            "Just say where the {place} is!",
        ),
    ),
    Manner(
        "complaints",
        "stop {doing}",
        ("doing",),
        _singles(
            "whistling;shouting;humming;tapping the table;slamming the door;kicking my chair;eating my chips;"
            "clicking that pen;singing so loudly;talking in the film;throwing leaves;teasing the cat;"
            "hiding my shoes;pushing in the queue;splashing everybody;drumming on the pipes;"
            "playing the trumpet;waking the baby;feeding cake to the dog;jumping on the sofa;"
            "copying my drawing;walking on the flowers;borrowing my socks;snoring;running indoors"
        ),
        (
            "Would you mind not {doing}, please?",
            "Could you please stop {doing}?",
            "May I ask you to stop {doing}?",
            "Would you be so kind as to stop {doing}?",
        ),
        "No more {doing}, please?",
        (
            "Stop {doing} this very minute!",
            "Why must you always annoy me by {doing}?",
            "Enough, stop {doing} at once!",
        ),
    ),
    Manner(
        "wishes",
        "I want {treat}",
        ("treat",),
        _singles(
            "some soup;more cake;a glass of water;two pancakes;the window seat;a bigger slice;some fresh bread;"
            "a warm blanket;a cup of tea;more potatoes;the last cherry;an extra pillow;a clean fork;"
            "some quiet;a better table;another story;a ride on the pony;some help;a longer turn;"
            "a second helping;the blue crayon;a bit more time;an early lunch;a ripe pear"
        ),
        (
            "Could I please have {treat}?",
            "May I have {treat}, please?",
            "Would it be possible to have {treat}?",
            "Might I ask you for {treat}?",
        ),
        "Perhaps {treat}, please?",
        ("Where is my order, I demand {treat}!", "I want {treat} right now!", "Why do I not have {treat} yet?"),
    ),
)
