"""The one error for input a person can put right: it names the file, the key, the value and what was expected."""

from typing import Any

LOADED = "what sim.load gives, like sim.load('steady')"  # in place of a scenario's name


class BadInput(Exception):
    """Wrong input, described so that the person who wrote it can mend it.

    The command line prints it as one message and exits with code 2; no result is written.
    """

    def __init__(self, message: str, *, file: object = None, key: str = "", value: object = None, expected: str = ""):
        # In one line, also where a library said it in several.
        self.message = " ".join(filter(None, map(str.strip, message.splitlines())))
        self.file, self.key, self.value, self.expected = file, key, value, expected
        super().__init__(self.text())

    def but(self, **parts: Any) -> "BadInput":
        """The same error with some of its parts (file, key, value, expected) replaced."""
        same: dict[str, Any] = {"file": self.file, "key": self.key, "value": self.value, "expected": self.expected}
        return BadInput(self.message, **same | parts)

    def text(self) -> str:
        """The whole message, a part a line."""
        lines = [printable(self.message)]
        if self.file is not None:
            lines.append(f"  file:     {printable(str(self.file))}")
        if self.key:
            lines.append(f"  key:      {printable(cut(self.key))}")
        if self.value is not None:
            lines.append(f"  value:    {shortened(self.value)}")
        if self.expected:
            lines.append(f"  expected: {printable_lines(self.expected)}")
        return "\n".join(lines)


def shortened(value: object) -> str:
    """A value as shown in a message: its repr, cut where it would fill the screen."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        text = f"something too large to show ({type(value).__name__})"
    return cut(text)


def cut(text: str, longest: int = 120) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def printable(text: str) -> str:
    """A text that no terminal obeys and every encoding can write: control characters and the like as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    """The same, line by line."""
    return "\n".join(map(printable, text.split("\n")))


def refuse_other(kind: type, given: Any, expected: str) -> None:
    """Raise BadInput where something else is given than an object of this kind."""
    if not isinstance(given, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise BadInput(f"this takes {article} {kind.__name__}", value=given, expected=expected)
