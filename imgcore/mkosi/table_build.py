"""The settings of [Validation] and [Build]."""

from __future__ import annotations

from typing import Final

from imgcore.mkosi import defaults
from imgcore.mkosi.host import Value
from imgcore.mkosi.matching import has_target, has_variable, is_one_of, is_text
from imgcore.mkosi.names import DISTRIBUTIONS
from imgcore.mkosi.paths import certificate, key, one_path, path_item, tree_item
from imgcore.mkosi.setting import Setting, accepted, refused, supported
from imgcore.mkosi.values import boolean, choice, choice_or_boolean, feature, listed, mapped, single, source_of, text, variable

__all__ = ["BUILD", "VALIDATION"]

_VALIDATION: Final = "Validation"
_BUILD: Final = "Build"
_BOOT: Final = "only images that boot have it, and Bootable= is refused"
_WORKPLACE: Final = "it says where things are while an image is built, not what is in it"
_TOOLS: Final = "only a tools tree uses it, and ToolsTree= is refused"
_PROXY: Final = "nothing is downloaded"
_PROXIES_OF_SCRIPTS: Final = "nothing is downloaded; scripts find it in their environment"

_KEY_SOURCE: Final = source_of(("file", "engine", "provider"))
_CERTIFICATE_SOURCE: Final = source_of(("file", "provider"))
_FILE: Final[Value] = {"Type": "file", "Source": ""}
_FILES: Final = listed(",", path_item())
_TREES: Final = listed(",", tree_item(required=True))


def _signing(name: str, *, why: str = "") -> tuple[Setting, ...]:
    """Return the four settings of a key and a certificate; `why` they have no effect, where they have none."""
    rows = (
        Setting(f"{name}Key", _VALIDATION, key, "universal", paths=("mkosi.key",)),
        Setting(f"{name}KeySource", _VALIDATION, _KEY_SOURCE, "universal", default=_FILE),
        Setting(f"{name}Certificate", _VALIDATION, certificate, "universal", paths=("mkosi.crt",)),
        Setting(f"{name}CertificateSource", _VALIDATION, _CERTIFICATE_SOURCE, "universal", default=_FILE),
    )
    if not why:
        return rows
    return tuple(
        accepted(why, row.name, row.section, row.parse, row.scope, default=row.default, paths=row.paths) for row in rows
    )


VALIDATION: Final[tuple[Setting, ...]] = (
    accepted(_BOOT, "SecureBoot", _VALIDATION, boolean),
    accepted(_BOOT, "SecureBootAutoEnroll", _VALIDATION, boolean, default=True),
    *_signing("SecureBoot", why=_BOOT),
    accepted(
        *(_BOOT, "SecureBootSignTool", _VALIDATION, single(choice(("auto", "sbsign", "systemd-sbsign"), "tool"))),
        default="auto",
    ),
    supported("Verity", _VALIDATION, feature),
    *_signing("Verity"),
    accepted(_BOOT, "SignExpectedPcr", _VALIDATION, feature),
    *_signing("SignExpectedPcr", why=_BOOT),
    accepted(
        "only encrypted partitions use it, and no format that is built has one",
        *("Passphrase", _VALIDATION, one_path(required=False, secret=True)),
        paths=("mkosi.passphrase",),
    ),
    supported("Checksum", _VALIDATION, boolean),
    refused("checksums are not signed", "Sign", _VALIDATION, boolean),
    accepted("only Sign= uses it, which is refused", "Key", _VALIDATION),
    accepted("only Sign= uses it, which is refused", "OpenPGPTool", _VALIDATION, default="gpg", option="--openpgp-tool"),
)

_TOOLS_TREE: Final[tuple[Setting, ...]] = (
    refused(
        "no tool is run that would come from it",
        *("ToolsTree", _BUILD, one_path(constants=("default",)), "universal"),
        paths=("mkosi.tools",),
    ),
    accepted(
        *(_TOOLS, "ToolsTreeDistribution", _BUILD, single(choice(DISTRIBUTIONS, "distribution"))),
        match=is_one_of(DISTRIBUTIONS, "distribution"),
        factory=defaults.tools_distribution,
        needs=("Distribution",),
    ),
    accepted(
        *(_TOOLS, "ToolsTreeRelease", _BUILD, text),
        match=is_text,
        factory=defaults.tools_release,
        needs=("ToolsTreeDistribution",),
    ),
    accepted(
        *(_TOOLS, "ToolsTreeMirror", _BUILD, text),
        factory=defaults.tools_mirror,
        needs=("Distribution", "Mirror", "ToolsTreeDistribution"),
    ),
    accepted(_TOOLS, "ToolsTreeRepositories", _BUILD, listed(","), option="--tools-tree-repository"),
    accepted(
        *(_TOOLS, "ToolsTreeSandboxTrees", _BUILD, _TREES),
        aliases=("ToolsTreePackageManagerTrees",),
        option="--tools-tree-sandbox-tree",
    ),
    accepted(_TOOLS, "ToolsTreePackages", _BUILD, listed(","), option="--tools-tree-package"),
    accepted(_TOOLS, "ToolsTreePackageDirectories", _BUILD, _FILES, option="--tools-tree-package-directory"),
    accepted(_TOOLS, "ToolsTreeCertificates", _BUILD, boolean, "universal", default=True),
)

_PLACES: Final[tuple[Setting, ...]] = (
    supported(
        *("ExtraSearchPaths", _BUILD, listed(",", path_item(outside=("/usr",))), "universal"),
        option="--extra-search-path",
    ),
    accepted(
        *(
            _WORKPLACE,
            "Incremental",
            _BUILD,
            choice_or_boolean(("yes", "no", "strict"), "kind", yes="yes", no="no"),
            "universal",
        ),
        default="no",
    ),
    accepted(
        *(_WORKPLACE, "CacheOnly", _BUILD),
        *(choice_or_boolean(("always", "auto", "metadata", "never"), "kind", yes="always", no="auto"), "universal"),
        default="auto",
    ),
    refused(
        "neither a package manager nor a sandbox of tools is run that would read it",
        *("SandboxTrees", _BUILD, _TREES, "universal"),
        when="packages",
        paths=("mkosi.sandbox", "mkosi.sandbox.tar", "mkosi.pkgmngr", "mkosi.pkgmngr.tar"),
        aliases=("PackageManagerTrees",),
        option="--sandbox-tree",
    ),
    accepted(_WORKPLACE, "WorkspaceDirectory", _BUILD, one_path(required=False), "universal"),
    accepted(_WORKPLACE, "CacheDirectory", _BUILD, one_path(required=False), "universal", paths=("mkosi.cache",)),
    accepted(_WORKPLACE, "PackageCacheDirectory", _BUILD, one_path(required=False), "universal", paths=("mkosi.pkgcache",)),
    accepted(_WORKPLACE, "BuildDirectory", _BUILD, one_path(required=False), "universal", paths=("mkosi.builddir",)),
    accepted(_WORKPLACE, "UseSubvolumes", _BUILD, feature, "universal"),
    accepted(_WORKPLACE, "RepartOffline", _BUILD, boolean, "universal", default=True),
    accepted(_WORKPLACE, "History", _BUILD, boolean),
)

_SURROUNDINGS: Final[tuple[Setting, ...]] = (
    supported(
        *("BuildSources", _BUILD, listed(",", tree_item(absolute=False, required=True, directory=True)), "universal"),
        match=has_target,
        factory=defaults.build_sources,
    ),
    supported(
        *("BuildSourcesEphemeral", _BUILD),
        *(choice_or_boolean(("yes", "no", "buildcache"), "kind", yes="yes", no="no"), "universal"),
        default="no",
    ),
    supported("Environment", _BUILD, mapped(" ", variable, unescape=True), match=has_variable),
    supported("EnvironmentFiles", _BUILD, _FILES, paths=("mkosi.env",), option="--env-file"),
    accepted("only build scripts use it, and these are refused", "WithTests", _BUILD, boolean, "universal", default=True),
    supported("WithNetwork", _BUILD, boolean, "universal"),
    accepted(_PROXIES_OF_SCRIPTS, "ProxyUrl", _BUILD, text, "universal", factory=defaults.proxy, needs=("Environment",)),
    accepted(_PROXIES_OF_SCRIPTS, "ProxyExclude", _BUILD, listed(","), "universal"),
    accepted(
        *(_PROXY, "ProxyPeerCertificate", _BUILD, one_path(), "universal"),
        paths=("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"),
    ),
    accepted(_PROXY, "ProxyClientCertificate", _BUILD, one_path(secret=True), "universal"),
    accepted(
        *(_PROXY, "ProxyClientKey", _BUILD, one_path(secret=True), "universal"),
        factory=defaults.client_key,
        needs=("ProxyClientCertificate",),
    ),
)

BUILD: Final[tuple[Setting, ...]] = (*_TOOLS_TREE, *_PLACES, *_SURROUNDINGS)
