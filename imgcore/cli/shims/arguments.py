"""Reads command lines of single-dash options, as squashfs-tools have them, by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imgcore.values import field, value_class

__all__ = ["Arguments", "Option", "ShimError", "parse"]


class ShimError(Exception):
    """A command line that is wrong, or asks for something that is not there; the text is for people."""


class UsageFault(ShimError):
    """A command line that is wrong by itself."""


@value_class
class Option:
    """One option.

    Attributes:
        key: where its value goes.
        takes: number of words that follow it; -1 for all the rest of the line.
        value: what an option without words stands for.
        refused: why it is not there; None for one that is.
    """

    key: str
    takes: int = 0
    value: object = True
    refused: str | None = None


@value_class(frozen=False)
class Arguments:
    """A command line: plain words, all else as it was given, and for each key the values that were given, in order."""

    words: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    values: dict[str, list[object]] = field(default_factory=dict)

    def has(self, key: str) -> bool:
        """Return whether an option was given."""
        return key in self.values

    def last(self, key: str, default: object = None) -> object:
        """Return what an option was given last."""
        return self.values[key][-1] if key in self.values else default

    def text(self, key: str) -> str | None:
        """Return the word that an option was given last, None when it was not given."""
        return str(self.values[key][-1]) if key in self.values else None

    def texts(self, key: str) -> list[str]:
        """Return every word that an option was given."""
        return [str(value) for value in self.values.get(key, ())]


def parse(program: str, argv: Sequence[str], options: Mapping[str, Option]) -> Arguments:
    """Return a command line as a table's options and plain words; `-` alone is a word. Raises ShimError."""
    found = Arguments()
    at = 0
    while at < len(argv):
        word = argv[at]
        at += 1
        if not word.startswith("-") or word == "-":
            found.words.append(word)
            continue
        option = options.get(word) or options.get("-" + word[2:] if word.startswith("--") else "")
        if option is None:
            raise ShimError(f"{word}: imgcore's {program} has no such option")
        if option.refused is not None:
            raise ShimError(f"{word}: {option.refused}")
        values = found.values.setdefault(option.key, [])
        begin = at - 1
        if option.takes < 0:
            values.extend(argv[at:])
            at = len(argv)
        elif option.takes:
            if at >= len(argv):
                raise ShimError(f"{word}: a word is missing behind it")
            values.append(argv[at])
            at += 1
        else:
            values.append(option.value)
        found.options += argv[begin:at]
    return found
