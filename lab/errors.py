"""Every error that a person may be shown: one tree, one code each.

    LabError                E_LAB                 anything the lab itself refuses or notices
      BadInput              E_BAD_INPUT           what somebody gave cannot be used
        BadName             E_BAD_NAME            a run, rater or file name outside the allowed letters
        BadText             E_BAD_TEXT            text that is not valid Unicode
        EmptyPrompt         E_EMPTY_PROMPT        a prompt without a visible character
        PromptTooLong       E_PROMPT_TOO_LONG     a prompt over the limit in characters or tokens
        BadNumber           E_BAD_NUMBER          a number that is not finite, or outside its range
        BadRanking          E_BAD_RANKING         an order that does not fit the candidates that were shown
        BadFile             E_BAD_FILE            a file whose shape nobody here can read
        BadEncoding         E_ENCODING            bytes that are not UTF-8 (or UTF-16 with its mark)
        NoRows              E_NO_ROWS             a file or a selection with nothing usable in it
      NotFound              E_NOT_FOUND           a run, policy, prompt or file that is not there
      TooFewRankings        E_TOO_FEW_RANKINGS    not enough pairs to train on and to be tested on
      FlatReward            E_REWARD_FLAT         a reward model that gives everything the same score
      UnsureReward          E_REWARD_UNSURE       a reward model not tested enough, or hardly better than guessing
      NotFinite             E_NOT_FINITE          a loss, gradient or metric that is NaN or infinite
      ModelIncomplete       E_MODEL_INCOMPLETE    a model folder with files missing or cut off
      NoEndToken            E_NO_EOS              a tokenizer that cannot say that an answer has ended
      WrongBase             E_WRONG_BASE          an adapter that was made for another base model
      Damaged               E_DAMAGED             a file on disk that is not what was written there
      Forbidden             E_FORBIDDEN           something that only the host of a workshop or demo may do
      Busy                  E_BUSY                something that only one process may do, and one is doing it
      ReadOnly              E_READ_ONLY           something that would write where it is only looked
      NewerWorkspace        E_NEWER_WORKSPACE     a workspace written by a later version of the lab
      KeyReused             E_KEY_REUSED          one idempotency key sent with two different rankings
      AlreadyRanked         E_ALREADY_RANKED      a rater ranking the same candidates a second time
      Unsupported           E_UNSUPPORTED         something that this device or installation cannot do
      SelfCheck             E_SELF_CHECK          a check that the lab makes of itself at run time has failed
      DiskFull              E_DISK_FULL           no room left, so something was not saved
      OutOfMemory           E_OOM                 memory that does not suffice even for the smallest part of the work
      DeviceLost            E_DEVICE_LOST         an error of the GPU after which its process can do no more there
      Unexpected            E_INTERNAL            a fault that nobody foresaw, whose trace is in the log

`str(error)` is the message for the person: what was found, with the number; why it matters; what to do next.
`error.code` is stable, for scripts and tests.
"""

from __future__ import annotations

import errno
import re


class LabError(Exception):
    """The root: catch this at an edge to turn any refusal of the lab into one line."""

    code: str = "E_LAB"


class BadInput(LabError):
    code = "E_BAD_INPUT"


class BadName(BadInput):
    code = "E_BAD_NAME"


class BadText(BadInput):
    code = "E_BAD_TEXT"


class EmptyPrompt(BadInput):
    code = "E_EMPTY_PROMPT"


class PromptTooLong(BadInput):
    code = "E_PROMPT_TOO_LONG"


class BadNumber(BadInput):
    code = "E_BAD_NUMBER"


class BadRanking(BadInput):
    code = "E_BAD_RANKING"


class BadFile(BadInput):
    code = "E_BAD_FILE"


class BadEncoding(BadInput):
    code = "E_ENCODING"


class NoRows(BadInput):
    code = "E_NO_ROWS"


class NotFound(LabError):
    code = "E_NOT_FOUND"


class TooFewRankings(LabError):
    code = "E_TOO_FEW_RANKINGS"


class FlatReward(LabError):
    code = "E_REWARD_FLAT"


class UnsureReward(LabError):
    code = "E_REWARD_UNSURE"


class NotFinite(LabError):
    code = "E_NOT_FINITE"


class ModelIncomplete(LabError):
    code = "E_MODEL_INCOMPLETE"


class NoEndToken(LabError):
    code = "E_NO_EOS"


class WrongBase(LabError):
    code = "E_WRONG_BASE"


class Damaged(LabError):
    code = "E_DAMAGED"


class Forbidden(LabError):
    code = "E_FORBIDDEN"


class Busy(LabError):
    code = "E_BUSY"


class ReadOnly(LabError):
    code = "E_READ_ONLY"


class NewerWorkspace(LabError):
    code = "E_NEWER_WORKSPACE"


class KeyReused(LabError):
    code = "E_KEY_REUSED"


class AlreadyRanked(LabError):
    code = "E_ALREADY_RANKED"


class Unsupported(LabError):
    code = "E_UNSUPPORTED"


class SelfCheck(LabError):
    code = "E_SELF_CHECK"


class DiskFull(LabError):
    """`errnos`: the system's words for a file that cannot grow. The disk, the user's quota, the process's limit."""

    code = "E_DISK_FULL"
    errnos = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def unwritten(problem: Exception, what: str, then: str) -> DiskFull | BadFile:
    """Why weights were not written, and what to do before `then`; safetensors has the system's number in its words."""
    numbered = re.search(r"os error (\d+)", str(problem))
    number = getattr(problem, "errno", None) or (int(numbered[1]) if numbered else None)
    if number in DiskFull.errnos:
        return DiskFull(f"{what} ({problem}). Free some space, then {then}.")
    return BadFile(f"{what} ({problem}). See that the lab may write there, then {then}.")


class OutOfMemory(LabError):
    code = "E_OOM"


class DeviceLost(LabError):
    code = "E_DEVICE_LOST"


class Unexpected(LabError):
    code = "E_INTERNAL"


def error_named(code: str) -> type[LabError]:
    """The class of the tree with this code; LabError itself for one that is not in it."""
    kinds = [each for each in globals().values() if isinstance(each, type) and issubclass(each, LabError)]
    return next((each for each in kinds if each.code == code), LabError)
