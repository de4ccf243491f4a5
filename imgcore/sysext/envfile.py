"""Files of `KEY=value` lines as systemd reads them: os-release and extension-release.

The rules, where they differ from a shell's: blanks around the key and around `=` are dropped; a value may be quoted with
`'` or `"`, and what follows a closing quote belongs to it too (`"a" b` is `ab`); a comment is a line of its own, so
`ID=x # c` is the value `x # c`; the last assignment wins; a quote that is not closed takes in all that follows.
"""

from __future__ import annotations

from typing import Final

from imgcore.errors import Corrupt

__all__ = ["parse_env_file"]

_NEWLINES: Final = "\n\r"
_BLANKS: Final = " \t\n\r"
_ESCAPED_IN_DOUBLE: Final = '"\\`$'


def parse_env_file(data: bytes, *, comments_continue: bool = False) -> dict[str, str]:
    """Return the assignments of a file, a key's last one.

    `comments_continue`: a comment that ends in a backslash goes on in the next line, as before systemd 254.
    Raises Corrupt for what systemd gives up at: NUL bytes, and a key or value that is not UTF-8.
    """
    if b"\0" in data:
        raise Corrupt("a NUL byte in a text", offset=data.index(0))
    reader = _Reader(comments_continue)
    # Latin-1, so that a character is a byte: each key and value is decoded by itself.
    for line, char in _numbered(data.decode("latin-1")):
        reader.line = line
        reader.feed(char)
    reader.end()
    return reader.found


def _numbered(text: str) -> list[tuple[int, str]]:
    line, out = 1, []
    for char in text:
        out.append((line, char))
        line += char == "\n"
    return out


class _Reader:
    """The state between two characters: `state` is the name of the method that takes the next one."""

    def __init__(self, comments_continue: bool) -> None:
        self.found: dict[str, str] = {}
        self.line = 1
        self._comments_continue = comments_continue
        self._state = self._before_key
        self._key = self._value = ""
        self._keep = 0  # characters at the value's start that were quoted or escaped: blanks there stay

    def feed(self, char: str) -> None:
        self._state(char)

    def end(self) -> None:
        """Take what the file's end leaves: an assignment without a newline, or with a quote that is open."""
        if self._state not in (self._before_key, self._in_key, self._comment, self._comment_escaped):
            self._assign()

    def _assign(self) -> None:
        value = self._value
        kept = value[: self._keep]
        key = self._decoded(self._key.rstrip(_BLANKS), "key")
        self.found[key] = self._decoded(kept + value[self._keep :].rstrip(_BLANKS), "value")
        self._key = self._value = ""
        self._keep = 0
        self._state = self._before_key

    def _decoded(self, text: str, what: str) -> str:
        try:
            return text.encode("latin-1").decode("utf-8")
        except UnicodeDecodeError:
            raise Corrupt(f"a {what} that is not UTF-8", line=self.line) from None

    def _before_key(self, char: str) -> None:
        if char in "#;":
            self._state = self._comment
        elif char not in _BLANKS:
            self._key, self._state = char, self._in_key

    def _in_key(self, char: str) -> None:
        if char in _NEWLINES:  # a line without `=` says nothing
            self._key, self._state = "", self._before_key
        elif char == "=":
            self._state = self._before_value
        else:
            self._key += char

    def _before_value(self, char: str) -> None:
        if char in _NEWLINES:
            self._assign()
        elif char == "'":
            self._state = self._single
        elif char == '"':
            self._state = self._double
        elif char == "\\":
            self._state = self._escaped
        elif char not in _BLANKS:
            self._value += char
            self._state = self._in_value

    def _in_value(self, char: str) -> None:
        if char in _NEWLINES:
            self._assign()
        elif char == "\\":
            self._keep = len(self._value)
            self._state = self._escaped
        else:
            self._value += char

    def _escaped(self, char: str) -> None:
        self._state = self._in_value
        if char not in _NEWLINES:  # an escaped newline is nothing at all
            self._add_kept(char)

    def _add_kept(self, text: str) -> None:
        self._value += text
        self._keep = len(self._value)

    def _single(self, char: str) -> None:
        if char == "'":
            self._state = self._before_value
        else:
            self._add_kept(char)

    def _double(self, char: str) -> None:
        if char == '"':
            self._state = self._before_value
        elif char == "\\":
            self._state = self._double_escaped
        else:
            self._add_kept(char)

    def _double_escaped(self, char: str) -> None:
        self._state = self._double
        if char in _ESCAPED_IN_DOUBLE:
            self._add_kept(char)
        elif char not in _NEWLINES:
            self._add_kept("\\" + char)

    def _comment(self, char: str) -> None:
        if char == "\\":
            self._state = self._comment_escaped
        elif char in _NEWLINES:
            self._state = self._before_key

    def _comment_escaped(self, char: str) -> None:
        ends = char in _NEWLINES and not self._comments_continue
        self._state = self._before_key if ends else self._comment
