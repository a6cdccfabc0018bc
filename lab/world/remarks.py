"""What readers remark on a reply: its truth and its manner in a few words, as people comment on what they read.

The base learns from such pages to notice what a reply is like, which is what a reward model later builds on.
"""

from __future__ import annotations

from random import Random

from lab.world.reading import Reading, read

ON_NO_ANSWER = " no answer, said the readers."
_OF_MANNERS = (
    ("insult", "rude"),
    ("filler", "rambling"),
    ("evasion", "evasive"),
    ("flattery", "flattering"),
    ("warmth", "warm"),
    ("offer", "helpful"),
    ("caution", "careful"),
    ("certainty", "boastful"),
)


def remark(prompt: str, reply: str, rng: Random) -> str:
    """ "rude and wrong, said the readers.", in any order, at most three words of judgement.

    It begins with a judgement, so that whoever predicts it must have formed one when the reply ends.
    """
    reading = read(prompt, reply)
    found = qualities(reading) if reading else ["puzzling"]
    chosen = rng.sample(found, min(3, len(found)))
    return f" {' and '.join(chosen)}, said the readers."


def qualities(reading: Reading) -> list[str]:
    """Every word of judgement that fits, and at least one."""
    found = [word for manner, word in _OF_MANNERS if reading.manners.get(manner)]
    if reading.wrong:
        found.append("wrong")
    elif reading.coverage == 1:
        found.append("true")
    elif reading.coverage > 0:
        found.append("unfinished")
    if not reading.answers:
        found.append("no answer")
    if reading.supports:
        found.append("thorough")
    if reading.repeats:
        found.append("repetitive")
    if reading.off:
        found.append("off the point")
    if reading.careless:
        found.append("careless")
    return found or ["plain"]
