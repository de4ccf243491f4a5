"""XML of a repository, read as a stream by expat: no document type, no entities, bounded depth and size.

A document that declares a type is refused before anything of it is expanded: entities are what makes a kilobyte into a
gigabyte, and no repository has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from xml.parsers import expat

from imgcore.errors import Corrupt, ImgcoreError
from imgcore.limits import Limits

__all__ = ["parse_xml"]

_DEPTH: Final = 32
_MOST_TEXT: Final = 4 << 20  # characters in one element, a long description
_SEPARATOR: Final = " "

Begin = Callable[[str, dict[str, str]], None]
End = Callable[[str, str], None]


def parse_xml(chunks: Iterable[bytes], begin: Begin, end: End, limits: Limits, what: str) -> None:
    """Read a document. `begin` gets name and attributes of an element, `end` its name and the text that is in it.

    Names are without their name space. Raises Corrupt with the line, LimitExceeded, and what the two functions raise.
    """
    parser = expat.ParserCreate("UTF-8", namespace_separator=_SEPARATOR)  # whatever the document says
    parser.buffer_text = True
    texts: list[list[str]] = []
    sizes: list[int] = []

    def wrong(message: str) -> Corrupt:
        return Corrupt(message, line=parser.CurrentLineNumber, structure=what)

    def started(name: str, attributes: dict[str, str]) -> None:
        if len(texts) >= _DEPTH:
            raise wrong("elements too deep in each other")
        texts.append([])
        sizes.append(0)
        begin(name.rpartition(_SEPARATOR)[2], {key.rpartition(_SEPARATOR)[2]: value for key, value in attributes.items()})

    def said(data: str) -> None:
        if texts:
            sizes[-1] += len(data)
            if sizes[-1] > _MOST_TEXT:
                raise wrong("text of an element is too long")
            texts[-1].append(data)

    def ended(name: str) -> None:
        sizes.pop()
        end(name.rpartition(_SEPARATOR)[2], "".join(texts.pop()))

    def refused(*arguments: object) -> None:
        raise wrong("document type or entity in a repository's file")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = started, ended, said
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refused
    parser.ExternalEntityRefHandler = refused  # type: ignore[assignment]
    total = 0
    try:
        for chunk in chunks:
            total += len(chunk)
            limits.require("max_metadata", total)
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Corrupt(f"no XML ({expat.errors.messages[error.code]})", line=error.lineno, structure=what) from None
    except ImgcoreError as error:
        if error.line is None:
            error.line = parser.CurrentLineNumber
        raise
