"""The forms of sum that the world can ask and answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Sum:
    """One form of sum. `answer` takes m, n and the thing's number, and gives None where the question makes no sense.

    `tops` are the greatest m and n that are drawn, by slot name. `things` have a number each (of legs), or zero.
    """

    topic: str
    tops: Mapping[str, int]
    answer: Callable[[int, int, int], int | None]
    asks: tuple[str, ...]
    says: tuple[str, ...]
    supports: tuple[str, ...]
    things: Mapping[str, int] | None = None


def _things(values: str) -> Mapping[str, int]:
    """Things to count, "apples" or "cats 4"."""
    rows = (value.rpartition(" ") if value[-1].isdigit() else (value, "", "0") for value in values.split(";"))
    return MappingProxyType({name: int(number) for name, _, number in rows})


def _asked(core: str, *more: str) -> tuple[str, ...]:
    """The usual ways to ask for a sum that can be named in a few words."""
    frames = (
        "What is {}?",
        "Work out {} for me.",
        "Tell me {}, please.",
        "How much is {}?",
        "Can you tell me what {} is?",
        "I need to know {}.",
        "Do you know {}?",
    )
    return (*(frame.replace("{}", core) for frame in frames), *more)


_TWO = MappingProxyType({"m": 20, "n": 20})
_SMALL = MappingProxyType({"m": 10, "n": 10})
PLAIN_SUMS: tuple[Sum, ...] = (
    Sum(
        "plus",
        _TWO,
        lambda m, n, _: m + n if m and n else None,
        _asked("{m} plus {n}", "Add {m} and {n}.", "If you add {n} to {m}, what do you get?"),
        ("{m} plus {n} is {z}.", "If you add {n} to {m} you get {z}.", "Together {m} and {n} make {z}."),
        ("{z} minus {n} brings you back to {m}.", "You can add the two in any order."),
    ),
    Sum(
        "minus",
        _TWO,
        lambda m, n, _: m - n if n and m >= n else None,
        _asked("{m} minus {n}", "Take {n} away from {m}.", "If you take {n} from {m}, what is left?"),
        ("{m} minus {n} is {z}.", "If you take {n} from {m} you keep {z}.", "Take {n} away from {m} to get {z}."),
        ("{z} plus {n} brings you back to {m}.", "You can count backwards on your fingers."),
    ),
    Sum(
        "times",
        _SMALL,
        lambda m, n, _: m * n if m > 1 and n > 1 else None,
        _asked("{m} times {n}", "Multiply {m} by {n}.", "If you have {m} lots of {n}, what do you get?"),
        ("{m} times {n} is {z}.", "If you take {n} {m} times you get {z}.", "Count {m} lots of {n} to get {z}."),
        ("The other way round, {n} times {m}, comes to the same.", "It is like adding {n} again and again."),
    ),
    Sum(
        "twice",
        MappingProxyType({"m": 50}),
        lambda m, _, __: 2 * m if m else None,
        _asked("twice {m}", "Double {m} for me.", "What do you get when you double {m}?"),
        ("Twice {m} is exactly {z}.", "If you double {m} you get {z}.", "The double of {m} is {z}."),
        ("It is like adding {m} to {m}.", "Half of {z} brings you back to {m}."),
    ),
    Sum(
        "half",
        MappingProxyType({"m": 100}),
        lambda m, _, __: m // 2 if m and m % 2 == 0 else None,
        _asked("half of {m}", "Cut {m} in half.", "What do you get when you split {m} in two?"),
        ("Half of {m} is {z}.", "If you split {m} in two you get {z}.", "Cut {m} in half to get {z}."),
        ("Twice {z} brings you back to {m}.", "Only even numbers split so neatly."),
    ),
    Sum(
        "after",
        MappingProxyType({"m": 99}),
        lambda m, _, __: m + 1,
        _asked("the number after {m}", "What comes after {m}?", "Count on from {m} by one."),
        ("The number after {m} is {z}.", "After {m} comes the number {z}.", "Count on from {m} to reach {z}."),
        ("You add just one to {m}.", "Going back one step from {z} gives {m}."),
    ),
    Sum(
        "before",
        MappingProxyType({"m": 100}),
        lambda m, _, __: m - 1 if m else None,
        _asked("the number before {m}", "What comes before {m}?", "Count back from {m} by one."),
        ("The number before {m} is {z}.", "Before {m} comes the number {z}.", "Count back from {m} to reach {z}."),
        ("You take just one from {m}.", "Going on one step from {z} gives {m}."),
    ),
    Sum(
        "bigger",
        MappingProxyType({"m": 100, "n": 100}),
        lambda m, n, _: max(m, n) if m != n else None,
        (
            "Which is bigger, {m} or {n}?",
            "Tell me the bigger number, {m} or {n}.",
            "Is {m} or {n} the bigger number?",
            "Which number is larger, {m} or {n}?",
            "What is the bigger one of {m} and {n}?",
            "Compare {m} with {n}.",
            "Of {m} and {n}, which is bigger?",
            "Who has more, the one with {m} or the one with {n}?",
        ),
        (
            "The bigger of the two is {z}.",
            "Of these two numbers {z} is bigger.",
            "I would say {z} is the bigger number.",
        ),
        ("When you count up, the bigger number comes later.", "The numbers {m} and {n} are not equal."),
    ),
)


_FOOD = _things("apples;pears;cherries;biscuits;grapes;plums;carrots;pancakes;strawberries;peas;jam tarts;cream buns")
_TOYS = _things("marbles;buttons;shells;stamps;pencils;balloons;feathers;conkers;toy cars;paper boats;pine cones;socks")
STORY_SUMS: tuple[Sum, ...] = (
    Sum(
        "eaten",
        _TWO,
        lambda m, n, _: m - n if 0 < n < m else None,
        (
            "I have {m} {things} and eat {n}, how many are left?",
            "If I eat {n} of my {m} {things}, how many are left?",
            "There are {m} {things} and the dog eats {n}, how many remain?",
            "From {m} {things} I eat {n}, what is left?",
            "I had {m} {things} but I ate {n}, how many do I have now?",
            "Take {n} from {m} {things} and count the rest.",
            "Somebody ate {n} of the {m} {things}, how many are there now?",
            "On the table are {m} {things}, a mouse takes {n}, how many stay?",
        ),
        (
            "That leaves {z} of the {things}.",
            "There are still {z} of the {things}.",
            "You can still eat {z} of the {things}.",
        ),
        ("You began with {m} and lost {n} of them.", "It is the same as {m} minus {n}."),
        _FOOD,
    ),
    Sum(
        "found",
        _TWO,
        lambda m, n, _: m + n if m > 1 and n > 1 else None,
        (
            "I have {m} {things} and find {n} more, how many have I got?",
            "If I add {n} to my {m} {things}, how many is that?",
            "There are {m} {things} and I bring {n} more, how many are there?",
            "My {m} {things} and your {n} together make how many?",
            "I had {m} {things} and got {n} more, count them all.",
            "A friend gives me {n} for my {m} {things}, what do I have now?",
            "In my pocket are {m} {things} and in yours {n}, how many together?",
            "I found {m} {things} and later {n} others, how many in all?",
        ),
        (
            "That makes {z} {things} in all.",
            "Now there are {z} {things} together.",
            "You have {z} {things} in total.",
        ),
        ("It is the same as {m} plus {n}.", "You can lay them in rows to check."),
        _TOYS,
    ),
    Sum(
        "shared",
        MappingProxyType({"m": 40, "n": 10}),
        lambda m, n, _: m // n if n > 1 and m > n and m % n == 0 else None,
        (
            "Share {m} {things} between {n} friends.",
            "If {n} friends share {m} {things}, how many does each get?",
            "How do I share {m} {things} between {n} people?",
            "There are {m} {things} for {n} children, how many each?",
            "Split {m} {things} fairly between {n} friends.",
            "We are {n} and we have {m} {things}, how many for each of us?",
            "Can you share out {m} {things} to {n} people?",
            "I must give {m} {things} to {n} guests, how many each?",
        ),
        (
            "Each of them gets {z} of the {things}.",
            "Everybody can have {z} of the {things}.",
            "Give each person {z} of the {things}.",
        ),
        ("No one has to go without.", "It works because {n} times {z} is {m}."),
        MappingProxyType({**_FOOD, **_TOYS}),
    ),
    Sum(
        "legs",
        MappingProxyType({"m": 10}),
        lambda m, _, legs: m * legs if m > 1 else None,
        (
            "How many legs do {m} {things} have?",
            "Count the legs of {m} {things}.",
            "How many legs have {m} {things} got?",
            "If {m} {things} walk by, how many legs is that?",
            "Tell me how many legs {m} {things} have.",
            "I see {m} {things}, how many legs do I see?",
            "How many legs are under {m} {things}?",
            "I am knitting a sock for every leg of {m} {things}, how many socks?",
        ),
        (
            "Together {m} {things} have {z} legs.",
            "That makes {z} legs for {m} {things}.",
            "You would count {z} legs on {m} {things}.",
        ),
        ("Each of the {things} has {legs} legs.", "It is the same as {m} times {legs}."),
        _things(
            "cats 4;dogs 4;ducks 2;hens 2;ants 6;spiders 8;bees 6;horses 4;crabs 10;snails 0;owls 2;snakes 0;"
            "penguins 2;beetles 6;cows 4;frogs 4;scorpions 8;mice 4;ladybirds 6;flamingos 2"
        ),
    ),
)
