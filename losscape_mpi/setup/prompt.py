"""One line of input on a terminal, with arrow keys, and with Tab for the names of files."""

from __future__ import annotations

import glob
import os


def ask(prompt: str) -> str:
    """Show a prompt and return the line that is typed.

    Raises:
        EOFError: If the input ends (Ctrl-D).
    """
    try:
        import readline
    except ImportError:  # a Python that was built without it
        return input(prompt)
    readline.set_completer_delims("")  # a name may hold spaces
    readline.set_completer(complete_path)
    readline.parse_and_bind("tab: complete")
    return input(prompt)


def complete_path(text: str, number: int) -> str | None:
    """Return the numbered one of the names that a text begins, a folder's with a slash behind it.

    Args:
        text: What is typed so far; `~` is the home folder.
        number: From 0; None is returned behind the last.
    """
    begin = os.path.expanduser(text)
    found = sorted(glob.glob(f"{glob.escape(begin)}*"))
    if number >= len(found):
        return None
    return f"{found[number]}/" if os.path.isdir(found[number]) else found[number]
