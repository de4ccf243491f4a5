"""The images that a directory describes: the main one, and those of mkosi.images in the order in which they are built."""

from __future__ import annotations

import copy
import graphlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from imgcore.errors import ConfigError
from imgcore.mkosi.host import Host, Place, Value
from imgcore.mkosi.names import EXTENSIONS
from imgcore.mkosi.paths import read_text
from imgcore.mkosi.reading import Layer, Reader
from imgcore.mkosi.table import BY_NAME, SETTINGS, nearest
from imgcore.mkosi.values import variable
from imgcore.values import field, value_class

__all__ = ["Configuration", "Image", "load"]

_COMPRESSED: Final = ("tar", "cpio", "disk", "sysext", "confext", "portable")
_SUFFIX: Final = {"zstd": ".zst"}


@value_class(eq=False)
class Image:
    """One image's settings.

    Attributes:
        name: of the subimage; None for the main image.
        values: each setting's value by its name, as JSON shows it.
        files: the configuration files that were read for it.
        places: where each setting that somebody set was set last.
    """

    name: str | None
    values: dict[str, Value]
    files: list[str] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def text(self, setting: str) -> str:
        """Return a value as text, "" where there is none."""
        found = self.values[setting]
        return "" if found is None else str(found)

    def flag(self, setting: str) -> bool:
        """Return a value that is yes or no."""
        return self.values[setting] is True

    def number(self, setting: str) -> int | None:
        """Return a value that is a number, None where there is none."""
        found = self.values[setting]
        return found if isinstance(found, int) else None

    def words(self, setting: str) -> list[str]:
        """Return a value that is a list of texts."""
        found = self.values[setting]
        return [str(one) for one in found] if isinstance(found, list) else []

    def mapping(self, setting: str) -> dict[str, str]:
        """Return a value that is names with texts."""
        found = self.values[setting]
        return {name: str(one) for name, one in found.items()} if isinstance(found, dict) else {}

    def trees(self, setting: str) -> list[tuple[Path, str | None]]:
        """Return a value that is a list of trees: where each comes from, and where it goes."""
        found = self.values[setting]
        pairs = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        return [(Path(str(one["Source"])), None if one["Target"] is None else str(one["Target"])) for one in pairs]

    @property
    def output(self) -> str:
        """The name of what is built, with the suffix of its format and of its compression."""
        form = self.text("Format")
        packed = self.text("CompressOutput")
        suffix = _SUFFIX.get(packed, f".{packed}") if packed != "none" and form in _COMPRESSED else ""
        return self.text("Output") + EXTENSIONS.get(form, "") + suffix

    def where(self, setting: str) -> Place | None:
        """Return where a setting was set, None where nobody did."""
        return self.places.get(setting)


@value_class(eq=False)
class Configuration:
    """All images, in the order in which they are built, the main one last; and what was odd in the files."""

    images: tuple[Image, ...]
    warnings: tuple[str, ...] = ()


def load(host: Host, arguments: Sequence[tuple[str, str]] = ()) -> Configuration:
    """Read the configuration in `host.directory`; `arguments` are settings with their text, as of a command line.

    Raises ConfigError, with file and line, for everything that is wrong in it, and LimitExceeded.
    """
    warnings: list[str] = []
    cli = Layer()
    here = Place(host, host.directory)
    for name, said in arguments:
        if name not in BY_NAME:
            near = nearest(name)
            raise here.fail(f"unknown setting {name}=", hint=f"did you mean {near}=?" if near else None)
        cli.set(BY_NAME[name], said, here)
    reader = Reader(host, cli, warnings)
    reader.read_includes(here)
    reader.files.clear()
    reader.read(host.directory, host.directory, profiles=True, local=True)
    values = {one.name: copy.deepcopy(reader.value(one.name)) for one in SETTINGS}
    chosen = "Dependencies" in cli.values or "Dependencies" in reader.config.values
    places = {**reader.config.places, **cli.places}
    subimages = _read_subimages(host, cli, values, places, warnings)
    if not chosen:
        values["Dependencies"] = [str(one.name) for one in subimages]
    main = _finished(host, Image(None, values, reader.files, places))
    done = [_finished(host, one) for one in subimages]
    return Configuration((*_ordered(done, main), main), tuple(dict.fromkeys(warnings)))


def _read_subimages(
    host: Host, cli: Layer, values: dict[str, Value], places: dict[str, Place], warnings: list[str]
) -> list[Image]:
    """Return the images of mkosi.images whose conditions hold, in order of their names."""
    directory = host.directory / "mkosi.images"
    if not directory.exists():
        return []
    if not directory.is_dir():
        raise ConfigError("not a directory", path=str(directory))
    for setting in SETTINGS:
        if setting.scope == "universal":
            cli.values[setting.name] = copy.deepcopy(values[setting.name])
        else:
            cli.values.pop(setting.name, None)
            cli.places.pop(setting.name, None)
    handed, wanted = values["Environment"], values["PassEnvironment"]
    assert isinstance(handed, dict)
    cli.values["Environment"] = {str(name): handed[str(name)] for name in wanted or () if name in handed}  # type: ignore[union-attr]
    found = []
    for path in sorted(directory.iterdir()):
        if not path.is_dir() and path.suffix != ".conf":
            continue
        name = path.name.removesuffix(".conf")
        if not name:
            raise ConfigError("an image without a name", path=str(path))
        image = _read_subimage(host, cli, name, path, values, places, warnings)
        if image is not None:
            found.append(image)
    return found


def _read_subimage(
    host: Host,
    cli: Layer,
    name: str,
    path: Path,
    values: dict[str, Value],
    places: dict[str, Place],
    warnings: list[str],
) -> Image | None:
    """Return a subimage, None where its conditions do not hold."""
    # mkosi has one namespace of the command line for all subimages: mkosi.local.conf of one goes on to the next.
    reader = Reader(host, cli, warnings)
    reader.image = name
    for setting in SETTINGS:
        if setting.scope == "inherit":
            reader.config.values[setting.name] = copy.deepcopy(values[setting.name])
            if setting.name in places:
                reader.config.places[setting.name] = places[setting.name]
    inside = path.resolve() if path.is_dir() else host.directory
    if not reader.read(inside if path.is_dir() else path, inside, profiles=path.is_dir(), local=True):
        return None
    made = {one.name: copy.deepcopy(reader.value(one.name)) for one in SETTINGS}
    universal = {one.name: places[one.name] for one in SETTINGS if one.scope == "universal" and one.name in places}
    return Image(name, made, reader.files, {**reader.config.places, **cli.places, **universal})


def _ordered(images: list[Image], main: Image) -> list[Image]:
    """Return what the main image depends on, what is depended on first. Raises ConfigError."""
    graph = {str(one.name): one.words("Dependencies") for one in images}
    needed: set[str] = set()
    by_name = {str(one.name): one for one in images}
    queue = [(main, one) for one in main.words("Dependencies")]
    while queue:
        asking, name = queue.pop(0)
        if name not in graph:
            near = nearest(name, graph)
            place = asking.where("Dependencies")
            who = "main image" if asking is main else f"image `{asking.name}`"
            message = f"the {who} depends on `{name}`, which is no image here"
            hint = f"did you mean `{near}`?" if near else None
            raise ConfigError(message, hint=hint) if place is None else place.fail(message, hint=hint)
        if name not in needed:
            needed.add(name)
            queue += [(by_name[name], one) for one in graph[name]]
    try:
        order = list(graphlib.TopologicalSorter({name: graph[name] for name in graph if name in needed}).static_order())
    except graphlib.CycleError as error:
        raise ConfigError(f"images depend on each other: {' -> '.join(error.args[1])}") from None
    return sorted((one for one in images if one.name in needed), key=lambda one: order.index(str(one.name)))


def _finished(host: Host, image: Image) -> Image:
    """Return the image with what follows from several settings . Raises ConfigError for those that do not go together."""
    values = image.values
    build = values["BuildDirectory"]
    name = "~".join(image.text(one) for one in ("Distribution", "Release", "Architecture"))
    if isinstance(build, str) and Path(build).name != name:
        values["BuildDirectory"] = f"{build.rstrip('/')}/{name}"
    if values["Sign"]:
        values["Checksum"] = True
    values["Environment"] = _environment(host, image)
    for setting, other, message in (
        ("Overlay", "BaseTrees", "Overlay= needs BaseTrees=: what should it lie over?"),
        ("Incremental", "CacheDirectory", "Incremental= needs CacheDirectory="),
    ):
        if values[setting] not in (None, False, "no") and not values[other]:
            raise (image.where(setting) or Place(host, host.directory)).fail(message)
    return image


def _environment(host: Host, image: Image) -> dict[str, Value]:
    """Return the variables that scripts of the image get: some of systemd's and of the image's own, and what was set."""
    values = image.values
    found: dict[str, Value] = {
        "SYSTEMD_TMPFILES_FORCE_SUBVOL": "0",
        "SYSTEMD_ASK_PASSWORD_KEYRING_TIMEOUT_SEC": "infinity",
        "SYSTEMD_ASK_PASSWORD_KEYRING_TYPE": "session",
        "TERM": host.term,
    }
    epoch, url = values["SourceDateEpoch"], values["ProxyUrl"]
    named = {
        "SUBIMAGE": image.name,
        "IMAGE_ID": values["ImageId"],
        "IMAGE_VERSION": values["ImageVersion"],
        "SOURCE_DATE_EPOCH": None if epoch is None else str(epoch),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), url),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(image.words("ProxyExclude")) or None),
        "GIT_PROXY_SSL_CAINFO": "/proxy.cacert" if values["ProxyPeerCertificate"] else None,
        "GIT_PROXY_SSL_CERT": "/proxy.clientcert" if values["ProxyClientCertificate"] else None,
        "GIT_PROXY_SSL_KEY": "/proxy.clientkey" if values["ProxyClientKey"] else None,
        **{name: host.environment.get(name) or None for name in ("MKOSI_DNF", "GNUPGHOME")},
    }
    found |= {name: value for name, value in named.items() if value is not None}
    for path in image.words("EnvironmentFiles"):
        at = Place(host, host.directory, Path(path))
        try:
            lines = read_text(Path(path), at).strip().splitlines()
        except OSError as error:
            raise at.fail(f"cannot read: {error.strerror}") from None
        found |= dict(variable(line, at) for line in lines)
    own = values["Environment"]
    return {**found, **(own if isinstance(own, dict) else {})}
