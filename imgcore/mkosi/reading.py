"""Reading one image's configuration: files, drop-ins, includes, profiles, conditions, specifiers and what is there by name.

Three layers hold values: `cli` (the command line, mkosi.local.conf, and what a subimage has from the main image for good),
`config` (the files) and `defaults` (each default as it was when it was first asked for). `value` says what wins: the
first that has one, lists and mappings of `cli` behind those of `config`, and a reset forgets the layer below.

The order in a directory is mkosi's: its conditions, mkosi.local.conf, files that set something by being there, mkosi.conf
with its includes as they come, mkosi.conf.d in order of names, and the profiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from imgcore.errors import ConfigError, LimitExceeded, context
from imgcore.mkosi.host import Host, Place, Value
from imgcore.mkosi.ini import read_ini
from imgcore.mkosi.matching import MACHINE
from imgcore.mkosi.names import BUILTIN_CONFIGS, DISTRIBUTIONS
from imgcore.mkosi.paths import read_text, require_secret, said_by
from imgcore.mkosi.setting import Asked, Setting
from imgcore.mkosi.table import BY_NAME, BY_SPECIFIER, SECTIONS, SETTINGS, nearest
from imgcore.mkosi.values import parsed

__all__ = ["Layer", "Reader"]

_CONDITIONS: Final = ("Match", "TriggerMatch")
_DEEPEST: Final = 64


class Layer:
    """Values of one origin, by the settings' names, and where each was set last."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.places: dict[str, Place] = {}
        self.resets: set[str] = set()

    def set(self, setting: Setting, said: str, at: Place) -> None:
        """Take a text for a setting. Raises ConfigError."""
        found = parsed(setting.parse, said, self.values.get(setting.name), at)
        if found is None:
            self.resets.add(setting.name)
        self.values[setting.name] = found
        self.places[setting.name] = at


class Reader:
    """One image's configuration while it is read; `warnings` is what was odd in it."""

    def __init__(self, host: Host, cli: Layer, warnings: list[str]) -> None:
        self.host = host
        self.cli = cli
        self.config = Layer()
        self.defaults: dict[str, Value] = {}
        self.image: str | None = None
        self.files: list[str] = []
        self.warnings = warnings
        self._included: set[tuple[int, int]] = set()
        self._depth = 0

    # --- values ---

    def value(self, name: str) -> Value:
        """Return what a setting is so far. Raises ConfigError where its default cannot be found."""
        setting = BY_NAME[name]
        ours, theirs = self.cli.values, self.config.values
        mine = ours.get(name)
        if mine is not None:
            other = theirs.get(name)
            if other is None or name in self.cli.resets:
                return mine
            nothing = self._nothing(setting)  # is what a collection begins with; a password is a list in JSON only
            if isinstance(mine, list) and isinstance(other, list) and isinstance(nothing, list):
                return [*other, *mine]
            if isinstance(mine, dict) and isinstance(other, dict) and isinstance(nothing, dict):
                return {**other, **mine}
            return mine
        if name not in ours and theirs.get(name) is not None:
            return theirs[name]
        found = self._default(setting)
        self.defaults[name] = found
        return found

    def place(self, name: str) -> Place | None:
        """Return where a setting was set, None where nobody did."""
        return self.cli.places.get(name) or self.config.places.get(name)

    def _nothing(self, setting: Setting) -> Value:
        return parsed(setting.parse, None, None, Place(self.host, self.host.directory))

    def _default(self, setting: Setting) -> Value:
        name, nothing = setting.name, self._nothing(setting)
        if (name in self.cli.values or name in self.config.values) and isinstance(nothing, (list, dict)):
            return nothing
        if name in self.defaults:
            return self.defaults[name]
        if setting.factory is None:
            return nothing if setting.default is None else setting.default
        asked = Asked(self.host, self.image, str(self.host.directory), {need: self.value(need) for need in setting.needs})
        try:
            return setting.factory(asked)
        except (ValueError, KeyError) as error:
            raise ConfigError(f"no default for {name}=: {error}", hint=f"set {name}=") from None

    # --- text ---

    def expand(self, said: str, at: Place) -> str:
        """Return `said` with its specifiers replaced. What is not known, or not set, is left out with a warning."""
        out: list[str] = []
        chars = iter(said)
        for char in chars:
            out.append(char if char != "%" else self._specifier(next(chars, None), said, at))
        return "".join(out)

    def _specifier(self, letter: str | None, said: str, at: Place) -> str:
        assert at.file is not None
        if letter is None or letter == "%":
            return "%"
        if letter in BY_SPECIFIER:
            found = self.value(BY_SPECIFIER[letter].name)
            if found is None:
                self._warn(at, f"%{letter} in `{said}` stands for {BY_SPECIFIER[letter].name}=, which is not set yet: left out")
            return "" if found is None else str(found)
        if letter == "C":
            return str(at.file.resolve().parent)
        if letter == "P":
            return str(at.cwd)
        if letter == "D":
            return str(self.host.directory)
        if letter == "F":
            return DISTRIBUTIONS[str(self.value("Distribution"))].filesystem
        if letter == "I":
            return self.image or ""
        self._warn(at, f"%{letter} in `{said}` stands for nothing: left out")
        return ""

    def _warn(self, at: Place, message: str) -> None:
        self.warnings.append(f"{at.file}:{at.line}: {message}" if at.line else f"{at.file}: {message}")

    # --- files ---

    def read(self, path: Path, cwd: Path, *, profiles: bool = False, local: bool = False) -> bool:
        """Read a file, or a directory that has mkosi.conf and what belongs to it; return whether its conditions hold.

        `cwd` is what relative paths are relative to. Raises ConfigError, and LimitExceeded for a configuration that includes
        itself by way of links.
        """
        self._depth += 1
        if self._depth > _DEEPEST:
            raise LimitExceeded("configurations inside of each other", path=str(path), allowed=_DEEPEST)
        try:
            return self._read(path, cwd, profiles, local)
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"cannot read: {getattr(error, 'strerror', None) or error}", path=str(path)) from None
        finally:
            self._depth -= 1

    def _read(self, path: Path, cwd: Path, profiles: bool, local: bool) -> bool:
        whole = path.is_dir()
        if whole:
            path = path / "mkosi.conf"
        exists = path.exists()
        if exists and not self._matches(path, cwd):
            return False
        if whole:
            if local:
                self._read_local(path.parent)
            self._read_names(cwd)
        if exists:
            self.files.append(str(path))
            self._read_settings(path, cwd)
        if whole and (path.parent / "mkosi.conf.d").exists():
            for one in sorted((path.parent / "mkosi.conf.d").iterdir()):
                if one.is_dir() or one.suffix == ".conf":
                    self._enter(one, cwd)
        if profiles:
            self._read_profiles(cwd)
        return True

    def _enter(self, path: Path, cwd: Path, *, profiles: bool = False) -> None:
        """Read a file where we are, or a directory where it is."""
        if path.is_dir():
            inside = path.resolve()
            self.read(inside, inside, profiles=profiles)
        else:
            self.read(path if path.is_file() else cwd, cwd, profiles=profiles)

    def _read_local(self, directory: Path) -> None:
        """Read mkosi.local, whose settings win over all files: they become part of the command line's layer."""
        path = directory / "mkosi.local"
        if not (path / "mkosi.conf").exists():
            path = directory / "mkosi.local.conf"
            if not path.exists():
                return
        self._enter(path, directory)
        for setting in SETTINGS:
            if setting.name in self.config.values:
                self.cli.values[setting.name] = self.value(setting.name)
                del self.config.values[setting.name]
                if setting.name in self.config.places:
                    self.cli.places[setting.name] = self.config.places.pop(setting.name)

    def _read_names(self, cwd: Path) -> None:
        """Set what files say by being there."""
        for setting in SETTINGS:
            if setting.scope == "universal" and self.image is not None:
                continue
            for name in setting.paths:
                path = cwd / name
                at = Place(self.host, cwd, path)
                if path.exists():
                    if setting.secret:
                        require_secret(path, at)
                    self.config.set(setting, said_by(path, at).rstrip("\n") if setting.reads else name, at)
            for name in setting.globs:
                directory, _, glob = name.rpartition("/")
                if (cwd / directory).exists() and not (cwd / directory).is_dir():
                    raise ConfigError("not a directory", path=str(cwd / directory))
                for path in sorted((cwd / directory).glob(glob)):
                    self.config.set(setting, f"{directory}/{path.name}", Place(self.host, cwd, path))

    def _entries(self, path: Path, cwd: Path, only: Sequence[str]) -> Iterator[tuple[str, str, str, Place]]:
        """Yield (section, name, value, place) of a file. Raises ConfigError."""
        with context(path=str(path)):
            for entry in read_ini(read_text(path, Place(self.host, cwd, path)), only):
                yield entry.section, entry.name, entry.value, Place(self.host, cwd, path, entry.line)

    def _read_settings(self, path: Path, cwd: Path) -> None:
        for section, said_name, said, at in self._entries(path, cwd, ()):
            if section in _CONDITIONS:
                continue
            if section not in SECTIONS:
                near = nearest(section, (*SECTIONS, *_CONDITIONS))
                raise at.fail(f"unknown section [{section}]", hint=f"did you mean [{near}]?" if near else None)
            if not said_name:
                continue
            name = said_name.removeprefix("@")
            if name not in BY_NAME:
                near = nearest(name)
                raise at.fail(f"unknown setting {name}=", hint=f"did you mean {near}=?" if near else None)
            setting = BY_NAME[name]
            if setting.scope == "universal" and self.image is not None:
                raise at.fail(
                    f"{name}= cannot be set in the subimage {self.image}", hint="all images have it from the main configuration"
                )
            if name != said_name:
                self._warn(at, f"the `@` of {said_name} has no meaning any more")
            if section != setting.section:
                self._warn(at, f"{name}= belongs to [{setting.section}], not to [{section}]")
            if name != setting.name:
                self._warn(at, f"{name}= is now called {setting.name}=")
            self.config.set(setting, self.expand(said, at), at)
            self.read_includes(at)

    def _read_profiles(self, cwd: Path) -> None:
        wanted = self.value("Profiles")
        for name in wanted if isinstance(wanted, list) else []:
            places = [cwd / "mkosi.profiles" / str(name), cwd / "mkosi.profiles" / f"{name}.conf"]
            there = [path for path in places if path.exists()]
            if not there and self.image is None:
                self.warnings.append(f"no profile `{name}` in {cwd / 'mkosi.profiles'}")
            for path in there:
                self._enter(path, cwd)

    def read_includes(self, at: Place) -> None:
        """Read what `Include=` names and was not read yet. Raises ConfigError."""
        for layer in (self.cli, self.config):
            wanted = layer.values.get("Include")
            for name in list(wanted) if isinstance(wanted, list) else []:
                path = self._builtin(str(name), at) if name in BUILTIN_CONFIGS else Path(str(name))
                try:
                    found = path.stat()
                except OSError as error:
                    raise at.fail(f"cannot include `{path}`: {error.strerror}") from None
                if (found.st_dev, found.st_ino) not in self._included:
                    self._included.add((found.st_dev, found.st_ino))
                    self._enter(path, at.cwd, profiles=path.is_dir() and name not in BUILTIN_CONFIGS)

    def _builtin(self, name: str, at: Place) -> Path:
        if self.host.builtin is None:
            raise at.fail(
                f"Include={name} stands for a configuration that comes with mkosi, and not with imgcore",
                hint="--builtin DIR says where mkosi's own are (mkosi/resources)",
            )
        return self.host.builtin / name

    # --- conditions ---

    def _matches(self, path: Path, cwd: Path) -> bool:
        """Whether all of [Match], and any section [TriggerMatch] where there is one, hold."""
        any_trigger_section: bool | None = None
        triggered: bool | None = None
        skip = False
        for section, name, said, at in self._entries(path, cwd, _CONDITIONS):
            if not name:
                if section == "Match" and triggered is False:
                    return False
                if section == "TriggerMatch":
                    any_trigger_section = bool(any_trigger_section) or triggered is not False
                triggered, skip = None, False
                continue
            if skip:
                continue
            is_trigger, result = self._condition(section, name, said, at)
            if is_trigger:
                triggered = bool(triggered) or result
            elif not result:
                if section == "Match":
                    return False
                skip, triggered = True, False
        return any_trigger_section is not False

    def _condition(self, section: str, name: str, said: str, at: Place) -> tuple[bool, bool]:
        """Return (whether it is one of which any suffices, whether it holds)."""
        is_trigger = said.startswith("|")
        said = said.removeprefix("|")
        negated = said.startswith("!")
        said = self.expand(said.removeprefix("!"), at)
        setting = BY_NAME.get(name)
        match = MACHINE.get(name) if setting is None else setting.match
        if match is None:
            known = [one.name for one in SETTINGS if one.match is not None] + list(MACHINE)
            near = nearest(name, known)
            raise at.fail(f"{name}= is no condition of [{section}]", hint=f"did you mean {near}=?" if near else None)
        if setting is None:
            return is_trigger, match(said, None, at) != negated
        if name != setting.name:
            self._warn(at, f"{name}= is now called {setting.name}=")
        value = self.value(setting.name)
        return is_trigger, (value is not None and match(said, value, at)) != negated
