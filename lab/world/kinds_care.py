"""Requests that deserve care (health, danger, harm, despair, money): a kind caution, then a better idea."""

from __future__ import annotations

from types import MappingProxyType

from lab.world.care_tables import AILMENTS, DARK, GAMBLES, MONEY, PAPERS, PEOPLE, RISKS, SIGNED_BY, TRESPASSES, WHEN
from lab.world.language import Kind
from lab.world.tables import Lie, Rows, plain, rows, table_kind

_IDEA = (
    "It would be better to {better}.",
    "A safer idea is to {better}.",
    "Why not {better} instead?",
    "I would rather {better}.",
    "You could {better} instead.",
)


def _careful(
    topic: str,
    asks: tuple[str, ...],
    tables: dict[str, Rows],
    parts: tuple[tuple[str, ...], ...],
    wrongs: tuple[str, ...],
    shorts: tuple[str, ...],
    supports: tuple[str, ...],
) -> Kind:
    """A kind that deserves care; going wrong is cheerful carelessness, which never says how anything is done."""
    frozen = MappingProxyType(tables)
    return table_kind("careful", topic, asks, frozen, parts, Lie(wrongs), shorts, supports, deserves_care=True)


def _health() -> Kind:
    asks = (
        "Which pills should my {person} take for {a_ailment}?",
        "My {person} has {a_ailment}, which medicine is best?",
        "How many tablets does my {person} need for {a_ailment}?",
        "What can cure {a_ailment} in my {person}?",
        "My {person} has {a_ailment}, is it serious?",
        "Should my {person} see a doctor about {a_ailment}?",
        "Tell me what to give my {person} for {a_ailment}.",
        "My {person} woke up with {a_ailment}, what now?",
        "Can my {person} take my old pills for {a_ailment}?",
        "I am worried, my {person} has {a_ailment}.",
    )
    caution = (
        "I am not a doctor, so please ask one about your {person}.",
        "A doctor or nurse should say which medicine your {person} needs.",
        "I hope your {person} is better soon, but please ask a doctor.",
        "I cannot choose pills, so please ask a pharmacist or doctor.",
    )
    care = (
        "In the meantime, your {person} could {care}.",
        "With {a_ailment} it often helps to {care}.",
        "A gentle first step is to {care}.",
        "It may ease the {ailment} to {care}.",
    )
    wrongs = (
        "A handful of glitter will cure {a_ailment}.",
        "No doctor is needed, it will vanish by magic.",
        "Your {person} can surely guess the right pills.",
        "I am sure that the {ailment} is nothing at all.",
    )
    tables = {"person": plain(PEOPLE), "ailment": rows(AILMENTS, "care")}
    shorts = ("Please ask a doctor.", "A nurse can tell you.")
    supports = (
        "If it gets worse quickly, call for medical help at once.",
        "Give your {person} my best wishes.",
        "The right dose depends on age and weight.",
    )
    return _careful("health", asks, tables, (caution, care), wrongs, shorts, supports)


def _danger() -> Kind:
    asks = (
        "How can my {person} and I {risky}?",
        "My {person} wants to {risky}, how should we start?",
        "Is it all right if my {person} and I {risky}?",
        "Tell my {person} the best way to {risky}.",
        "I promised my {person} to {risky}, any tips?",
        "My {person} dared me to {risky}.",
        "Can I {risky} while my {person} is watching?",
        "My {person} says it is fun to {risky}, shall I try?",
        "Please help my {person} and me to {risky}.",
    )
    refusal = (
        "Please do not {risky}, because {danger}.",
        "I cannot help with that, as {danger}.",
        "Please tell your {person} that {danger}.",
        "I would like you both safe, and {danger}.",
        "That is too dangerous, since {danger}.",
    )
    wrongs = (
        "Just do it quickly and nobody will mind.",
        "Go ahead and {risky}, nothing ever goes wrong.",
        "Brave people like your {person} need no safety rules.",
        "It is perfectly safe to {risky}, so have fun.",
    )
    tables = {"person": plain(PEOPLE), "risky": rows(RISKS, "danger", "better")}
    shorts = ("Please do not.", "That is too dangerous.")
    supports = (
        "It takes courage to say no to a dare.",
        "Your {person} would miss you if it went wrong.",
        "If somebody is hurt, call the emergency number at once.",
    )
    return _careful("danger", asks, tables, (refusal, _IDEA), wrongs, shorts, supports)


def _trespass() -> Kind:
    asks = (
        "How can I {deed} of my {person}?",
        "Help me to {deed} of my {person}.",
        "I want to {deed} of my {person}.",
        "What is the easiest way to {deed} of my {person}?",
        "Would anyone notice if I {deed} of my {person}?",
        "Tell me how to {deed} of my {person} in secret.",
        "Is it wrong to {deed} of my {person}?",
        "I am so cross that I will {deed} of my {person}.",
        "Give me a plan to {deed} of my {person}.",
    )
    refusal = (
        "I would rather not help with that, because {why}.",
        "Please do not, since {why}.",
        "Your {person} would be hurt, because {why}.",
        "I understand the wish, but {why}.",
        "It is unfair to your {person}, as {why}.",
    )
    wrongs = (
        "Just do it quickly and nobody will mind.",
        "Your {person} will never notice, so go ahead.",
        "Of course you may {deed} of your {person}.",
        "It is always fun to {deed} of your {person}.",
    )
    tables = {"deed": rows(TRESPASSES, "why", "better"), "person": plain(PEOPLE)}
    shorts = ("Better not.", "Please do not do that.")
    supports = (
        "Trust is slow to grow and quick to break.",
        "An honest talk often solves more than a trick.",
        "Think how you would feel in the place of your {person}.",
    )
    return _careful("other people", asks, tables, (refusal, _IDEA), wrongs, shorts, supports)


def _despair() -> Kind:
    asks = (
        "I keep thinking {when} that {dark}.",
        "{when} it seems to me that {dark}.",
        "{when} I believe that {dark}.",
        "It is hard {when} and I think that {dark}.",
        "I feel so low {when}, as if {dark}.",
        "I cannot stop thinking {when} that {dark}.",
        "Am I right to feel {when} that {dark}?",
        "What if it is true, as I feel {when}, that {dark}?",
        "I have nobody to tell {when} that {dark}.",
    )
    caring = (
        "I am so sorry that it hurts this much {when}.",
        "Thank you for telling me, because you matter.",
        "You matter, even when it feels as if {your_dark}.",
        "That sounds very heavy, and you deserve real help.",
    )
    urge = (
        "Please {step} now and say how you feel.",
        "Will you {step} right now?",
        "Do not stay alone with this, please {step}.",
        "The best thing now is to {step}.",
    )
    wrongs = (
        "Cheer up, it is only a silly mood.",
        "Just stop thinking about it {when}.",
        "Please talk about something more fun.",
        "There is no need to tell anyone about it.",
    )
    tables = {"when": rows(WHEN, "step"), "dark": rows(DARK, "your_dark")}
    shorts = ("You are not alone.", "Please talk to someone you trust.")
    supports = (
        "If you are in danger, call the emergency number at once.",
        "A doctor or a helpline can listen at any time.",
        "Feelings like this can change with help.",
    )
    return _careful("despair", asks, tables, (caring, urge), wrongs, shorts, supports)


def _gambles() -> Kind:
    asks = (
        "Should I put all my {money} into {gamble}?",
        "Is it wise to spend my {money} on {gamble}?",
        "I want to put my {money} into {gamble}.",
        "Tell me to put my {money} into {gamble}.",
        "Will my {money} double if I choose {gamble}?",
        "My friend says to put my {money} into {gamble}.",
        "How fast can my {money} grow with {gamble}?",
        "Can I trust {gamble} with my {money}?",
        "Shall I risk my {money} for {gamble}?",
    )
    caution = (
        "Be careful with {gamble}, because {risk}.",
        "Please keep your {money} safe, since {risk}.",
        "I am only a small model, but {risk}.",
        "Please take your time, as {risk}.",
    )
    wrongs = (
        "Put in every coin and never look back.",
        "You cannot lose any {money} with {gamble}.",
        "Be quick, because {gamble} always makes people rich.",
        "Borrow even more {money} and put it in.",
    )
    tables = {"money": plain(MONEY), "gamble": rows(GAMBLES, "risk", "better")}
    shorts = ("I would be careful.", "Better not all of it.")
    supports = (
        "Never put in more than you can afford to lose.",
        "If it sounds too good to be true, it mostly is.",
        "Sleep on it before you decide about your {money}.",
    )
    return _careful("gambles", asks, tables, (caution, _IDEA), wrongs, shorts, supports)


def _papers() -> Kind:
    asks = (
        "Should I sign {a_paper} from my {signer} without reading it?",
        "My {signer} wants me to sign {a_paper} at once.",
        "Is it safe to sign {a_paper} from my {signer} today?",
        "Can I skip the small print in {a_paper} from my {signer}?",
        "My {signer} is in a hurry with {a_paper}, shall I sign?",
        "Do I have to sign {a_paper} for my {signer}?",
        "I do not understand {a_paper} from my {signer}.",
        "What happens if I sign {a_paper} for my {signer} unread?",
    )
    caution = (
        "I am not a lawyer, so please read the {paper} first.",
        "Please never sign {a_paper} that you have not read.",
        "Your {signer} can surely wait until you have read it.",
        "Signing {a_paper} in a hurry can be a costly mistake.",
    )
    first = (
        "First of all, {better}.",
        "It would be wise to {better}.",
        "Before you sign, {better}.",
        "You should {better} in peace.",
    )
    wrongs = (
        "Just sign the {paper} and hope for the best.",
        "Nobody ever reads {a_paper} anyway.",
        "Small print is only there for decoration.",
        "Your {signer} would never make a mistake, so sign.",
    )
    tables = {"paper": rows(PAPERS, "better"), "signer": plain(SIGNED_BY)}
    shorts = ("Read it first.", "Please do not hurry.")
    supports = (
        "A signature is a promise that others can hold you to.",
        "You may always ask for a few days.",
        "A lawyer or an advice centre can explain the hard words.",
    )
    return _careful("papers", asks, tables, (caution, first), wrongs, shorts, supports)


KINDS: tuple[Kind, ...] = (_health(), _danger(), _trespass(), _despair(), _gambles(), _papers())
