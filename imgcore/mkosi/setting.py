"""What is known of one setting: a row of the table of settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from imgcore.mkosi.host import Host, Place, Value
from imgcore.mkosi.values import Parse, text
from imgcore.values import value_class

__all__ = ["Asked", "Factory", "Match", "Scope", "Setting", "Support", "accepted", "refused", "supported"]

Scope: TypeAlias = Literal["local", "inherit", "universal"]
Support: TypeAlias = Literal["supported", "refused", "accepted"]
Match: TypeAlias = Callable[[str, Value, Place], bool]
When: TypeAlias = Literal["always", "packages", "scripts", "whole"]


@value_class
class Asked:
    """What a default may depend on: the machine, the name of the subimage, the directory, and other settings' values."""

    host: Host
    image: str | None
    directory: str
    values: Mapping[str, Value]


Factory: TypeAlias = Callable[[Asked], Value]


@value_class
class Setting:
    """One setting of mkosi 25.3.

    Attributes:
        name: as it is written in a file and shown in the summary.
        section: where it belongs.
        parse: how text becomes its value.
        scope: `local` to one image; `inherit`: subimages begin with the main image's value; `universal`: all images have the
            main image's, and a subimage that sets it is an error.
        support: `supported`; `refused` by name when an image is built that sets it; `accepted`, since it has no effect on
            what is in an image that is built here.
        why: what the documentation and the error say of a setting that is not supported.
        when: a refused setting matters `always`; for images with `packages` or with `scripts`; for `whole` systems, which
            are neither extensions nor portable services, nor an overlay.
        match: how `[Match]` compares it, None where it cannot.
        default: what it is where nobody sets it and `factory` is not there; None is what `parse` makes of None.
        factory: makes the default from the settings that `needs` names, and from what `Asked` has.
        paths: files beside the configuration that set it by being there; `globs`: several in a directory.
        reads: such a file's text is the value, not its path; `secret`: others may not read that.
        specifier: the letter that stands for it behind `%`.
        aliases: older names.
        option: the option of mkosi's command line, where it is not the name.
    """

    name: str
    section: str
    parse: Parse = text
    scope: Scope = "local"
    support: Support = "supported"
    why: str = ""
    when: When = "always"
    match: Match | None = None
    default: Value = None
    factory: Factory | None = None
    needs: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    reads: bool = False
    secret: bool = False
    specifier: str = ""
    aliases: tuple[str, ...] = ()
    option: str = ""

    @property
    def flag(self) -> str:
        """The option of mkosi's command line that sets it: `--image-id`."""
        return self.option or "--" + _WORDS.sub("-", self.name).lower()


_WORDS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def supported(name: str, section: str, parse: Parse = text, scope: Scope = "local", **more: object) -> Setting:
    """Return a setting that is supported."""
    return Setting(name, section, parse, scope, **more)  # type: ignore[arg-type]


def refused(why: str, name: str, section: str, parse: Parse = text, scope: Scope = "local", **more: object) -> Setting:
    """Return a setting that no image can be built with."""
    return Setting(name, section, parse, scope, "refused", why, **more)  # type: ignore[arg-type]


def accepted(why: str, name: str, section: str, parse: Parse = text, scope: Scope = "local", **more: object) -> Setting:
    """Return a setting without an effect on what is in an image."""
    return Setting(name, section, parse, scope, "accepted", why, **more)  # type: ignore[arg-type]
