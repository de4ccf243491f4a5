"""Defaults that depend on the machine or on other settings."""

from __future__ import annotations

from imgcore.mkosi.host import Value
from imgcore.mkosi.names import DISTRIBUTIONS
from imgcore.mkosi.setting import Asked

__all__ = [
    "architecture",
    "build_sources",
    "client_key",
    "compression",
    "distribution",
    "output",
    "proxy",
    "release",
    "repository_key_fetch",
    "seed",
    "source_date_epoch",
    "tools_distribution",
    "tools_mirror",
    "tools_release",
]

_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


def architecture(asked: Asked) -> Value:
    """The machine's."""
    return asked.host.architecture()


def distribution(asked: Asked) -> Value:
    """The machine's, `custom` where mkosi has no name for that."""
    return asked.host.environment.get("MKOSI_HOST_DISTRIBUTION") or asked.host.distribution()[0] or "custom"


def release(asked: Asked) -> Value:
    """The machine's release where the distribution is the machine's, else the distribution's newest."""
    environment = asked.host.environment
    named = environment.get("MKOSI_HOST_DISTRIBUTION"), environment.get("MKOSI_HOST_RELEASE")
    here, its_release = named if named[0] and named[1] else asked.host.distribution()
    if asked.values["Distribution"] == here and its_release is not None:
        return its_release
    return DISTRIBUTIONS[str(asked.values["Distribution"])].release


def seed(asked: Asked) -> Value:
    """The caller's; mkosi makes one by chance."""
    return asked.host.seed


def output(asked: Asked) -> Value:
    """The subimage's name or the image's id, and its version."""
    name = asked.image or asked.values["ImageId"] or "image"
    version = asked.values["ImageVersion"]
    return f"{name}_{version}" if version else str(name)


def compression(asked: Asked) -> Value:
    """zstd for archives and for what a boot loader reads."""
    form = asked.values["Format"]
    return "zstd" if form in ("tar", "cpio", "uki", "esp", "addon") else "gz" if form == "oci" else "none"


def source_date_epoch(asked: Asked) -> Value:
    """SOURCE_DATE_EPOCH of the caller. Raises ValueError."""
    # mkosi looks for `SOURCE_DATE_EPOCH=…` among the *names* of Environment=, where none is like that: it has no say.
    said = asked.host.environment.get("SOURCE_DATE_EPOCH")
    if not said:
        return None
    if int(said) < 0:
        raise ValueError("a time before 1970")
    return int(said)


def proxy(asked: Asked) -> Value:
    """The proxy that Environment= or the caller's environment names."""
    # As above: a variable of Environment= counts by its name only, and its value is lost.
    own = asked.values["Environment"]
    if isinstance(own, dict) and any(name in _PROXIES for name in own):
        return ""
    return next((value for name, value in asked.host.environment.items() if name in _PROXIES), None)


def client_key(asked: Asked) -> Value:
    """The file with the certificate."""
    return asked.values["ProxyClientCertificate"]


def build_sources(asked: Asked) -> Value:
    """The configuration's directory."""
    return [{"Source": asked.directory, "Target": None}]


def tools_distribution(asked: Asked) -> Value:
    """What the machine's distribution takes its tools from."""
    here = asked.host.environment.get("MKOSI_HOST_DISTRIBUTION") or asked.host.distribution()[0]
    return "custom" if here is None else DISTRIBUTIONS[here].tools or here


def tools_release(asked: Asked) -> Value:
    """The newest of that distribution."""
    named = asked.values["ToolsTreeDistribution"]
    return DISTRIBUTIONS[str(named)].release if named else None


def tools_mirror(asked: Asked) -> Value:
    """The image's own, where the distribution is the same."""
    same = asked.values["Distribution"] == asked.values["ToolsTreeDistribution"]
    return asked.values["Mirror"] if asked.values["Mirror"] and same else None


def _wants_keys(name: Value) -> bool:
    return name is not None and DISTRIBUTIONS[str(name)].packages in ("rpm", "pkg")


def repository_key_fetch(asked: Asked) -> Value:
    """Yes on Ubuntu, for distributions whose keys it has not."""
    if asked.host.distribution()[0] != "ubuntu":
        return False
    wanted = _wants_keys(asked.values["Distribution"])
    tools = asked.values["ToolsTree"]
    if tools is None:
        return wanted
    if tools != "default":
        return False
    named = asked.values["ToolsTreeDistribution"]
    return (named == "ubuntu" and wanted) or _wants_keys(named)
