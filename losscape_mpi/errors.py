"""The errors that a command turns into one line and an exit code."""


class UserError(Exception):
    """A mistake that the user can mend: printed as one line, exit code 1, no traceback.

    The message says what was found, what was expected and what to do.
    """


class MismatchError(UserError):
    """A file that belongs to another study: the message names the fields that differ."""


class QuietError(UserError):
    """A mistake that another rank of the same job reports: exit code 1, no second line."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has none."""
    # A KeyError's text is its argument in quotes.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.splitlines() or [type(error).__name__])[0]
