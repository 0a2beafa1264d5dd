"""A terminal of a few lines: a pseudo-terminal, and what a person sees on it."""

import codecs
import fcntl
import os
import pty
import re
import struct
import termios

CODE = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b[^\[]|[\r\n\b]|[^\x1b\r\n\b]")
BEGUN = re.compile(r"\x1b(\[\d*)?$")


class Screen:
    """What a person sees; knows the control codes that ours and line editors use, no others."""

    def __init__(self, columns):
        self.columns, self.rows, self.row, self.column = columns, [[]], 0, 0
        self._rest, self._decoder = "", codecs.getincrementaldecoder("utf-8")()

    def feed(self, content):
        """Take in some bytes; a control code may come in two parts."""
        text = self._rest + self._decoder.decode(content)
        begun = BEGUN.search(text)
        self._rest = begun[0] if begun else ""
        for found in CODE.finditer(text.removesuffix(self._rest)):
            self._take(found[0], found[1], found[2])

    def _take(self, text, number, code):
        if text == "\r":
            self.column = 0
        elif text == "\n":
            self._down()
        elif code == "A":
            self.row = max(0, self.row - int(number or 1))
        elif code == "J":
            assert number in ("", "0")
            del self.rows[self.row + 1 :]
            del self.rows[self.row][self.column :]
        elif text.startswith("\x1b"):
            raise AssertionError(f"an unknown control code {text!r}")
        else:
            self._put(text)

    def _put(self, character):
        if self.column == self.columns:
            self._down()
            self.column = 0
        row = self.rows[self.row]
        row += [" "] * (self.column + 1 - len(row))
        row[self.column] = character
        self.column += 1

    def _down(self):
        self.row += 1
        while len(self.rows) <= self.row:
            self.rows.append([])

    @property
    def lines(self):
        """The lines as texts, without the empty ones at the end."""
        texts = ["".join(row).rstrip() for row in self.rows]
        while texts and not texts[-1]:
            texts.pop()
        return texts


class Pty:
    """Both ends of a pseudo-terminal; `number` is what a program writes to."""

    def __init__(self, columns):
        self.master, self.number = pty.openpty()
        fcntl.ioctl(self.number, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.set_blocking(self.master, False)
        self.screen, self.raw = Screen(columns), b""

    def read(self):
        """Take in what was written; returns the screen."""
        while True:
            try:
                part = os.read(self.master, 1 << 16)
            except (BlockingIOError, OSError):
                part = b""
            if not part:
                return self.screen
            self.raw += part
            self.screen.feed(part)

    def close(self):
        os.close(self.master)
        os.close(self.number)
