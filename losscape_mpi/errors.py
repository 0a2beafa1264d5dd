"""The errors that a command turns into one line and an exit code, and what a line may hold."""

import unicodedata

# Characters that change what a terminal shows or does; the joiners belong to words and emoji.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset({"\u200c", "\u200d"})


class UserError(Exception):
    """A mistake that the user can mend: printed as one line, exit code 1, no traceback.

    The message says what was found, what was expected and what to do.
    """


class MismatchError(UserError):
    """A file that belongs to another study: the message names the fields that differ."""


class QuietError(UserError):
    """A mistake that another rank of the same job reports: exit code 1, no second line."""


def printable(text: object, kept: str = "") -> str:
    """Return a text for a terminal or a log: characters that would act there are escaped.

    Args:
        text: A text that may come from anybody's file.
        kept: Characters that may act, such as a line's end.
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _ACTING
        and character not in _JOINERS
        and character not in kept
        else character
        for character in str(text)
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has none."""
    # A KeyError's text is its argument in quotes.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.splitlines() or [type(error).__name__])[0]
