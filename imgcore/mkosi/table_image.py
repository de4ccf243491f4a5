"""The settings of [Include], [Config], [Distribution] and [Output]."""

from __future__ import annotations

from typing import Final

from imgcore.mkosi import defaults
from imgcore.mkosi.matching import is_in, is_one_of, is_text, is_version, like
from imgcore.mkosi.names import ARCHITECTURES, ARTIFACTS, BUILTIN_CONFIGS, DISTRIBUTIONS, FORMATS
from imgcore.mkosi.paths import one_path, path_item
from imgcore.mkosi.setting import Setting, accepted, refused, supported
from imgcore.mkosi.values import (
    artifacts,
    boolean,
    choice,
    compression,
    filename,
    listed,
    mode,
    natural,
    newest,
    profile_name,
    sector_size,
    single,
    text,
    unique_id,
)

__all__ = ["CONFIG", "DISTRIBUTION", "OUTPUT"]

_DISTRIBUTION: Final = "Distribution"
_FILES: Final = listed(",", path_item())
_LOCAL_ONLY: Final = "packages come from PackageDirectories= only"

CONFIG: Final[tuple[Setting, ...]] = (
    supported("Include", "Include", listed(",", path_item(constants=BUILTIN_CONFIGS), reset=False)),
    supported(
        *("Profiles", "Config", listed(",", profile_name), "universal"),
        match=is_in(profile_name),
        aliases=("Profile",),
        option="--profile",
    ),
    supported("Dependencies", "Config", listed(","), option="--dependency"),
    supported("MinimumVersion", "Config", newest),
    refused(
        "it is a program that changes the configuration",
        *("ConfigureScripts", "Config", _FILES),
        paths=("mkosi.configure",),
        option="--configure-script",
    ),
    supported("PassEnvironment", "Config", listed(" ")),
)

DISTRIBUTION: Final[tuple[Setting, ...]] = (
    supported(
        *("Distribution", _DISTRIBUTION, single(choice(DISTRIBUTIONS, "distribution")), "universal"),
        match=is_one_of(DISTRIBUTIONS, "distribution"),
        factory=defaults.distribution,
        specifier="d",
    ),
    supported(
        *("Release", _DISTRIBUTION, text, "universal"),
        match=is_text,
        factory=defaults.release,
        needs=("Distribution",),
        specifier="r",
    ),
    supported(
        *("Architecture", _DISTRIBUTION, single(choice(ARCHITECTURES, "architecture")), "universal"),
        match=is_one_of(ARCHITECTURES, "architecture"),
        factory=defaults.architecture,
        specifier="a",
    ),
    refused(_LOCAL_ONLY, "Mirror", _DISTRIBUTION, text, "universal", when="packages"),
    refused(_LOCAL_ONLY, "LocalMirror", _DISTRIBUTION, text, "universal", when="packages"),
    accepted(_LOCAL_ONLY, "RepositoryKeyCheck", _DISTRIBUTION, boolean, "universal", default=True),
    accepted(
        *(_LOCAL_ONLY, "RepositoryKeyFetch", _DISTRIBUTION, boolean, "universal"),
        factory=defaults.repository_key_fetch,
        needs=("Distribution", "ToolsTree", "ToolsTreeDistribution"),
    ),
    refused(_LOCAL_ONLY, "Repositories", _DISTRIBUTION, listed(","), "universal", match=is_in(), when="packages"),
)

OUTPUT: Final[tuple[Setting, ...]] = (
    supported(
        *("Format", "Output", single(choice(FORMATS, "format"))),
        match=is_one_of(FORMATS, "format"),
        default="disk",
        specifier="t",
    ),
    refused(
        "a list of packages is not written", "ManifestFormat", "Output", listed(",", choice(("json", "changelog"), "manifest"))
    ),
    supported(
        *("Output", "Output", filename),
        factory=defaults.output,
        needs=("ImageId", "ImageVersion"),
        specifier="o",
    ),
    supported(
        *("CompressOutput", "Output", compression),
        factory=defaults.compression,
        needs=("Distribution", "Release", "Format"),
    ),
    supported("CompressLevel", "Output", natural, default=3),
    supported(
        *("OutputDirectory", "Output", one_path(required=False), "universal"),
        paths=("mkosi.output",),
        specifier="O",
    ),
    supported("OutputMode", "Output", mode, "universal"),
    supported(
        *("ImageVersion", "Output", text, "inherit"),
        match=is_version,
        paths=("mkosi.version",),
        reads=True,
        specifier="v",
    ),
    supported("ImageId", "Output", text, "inherit", match=like, specifier="i"),
    supported("SplitArtifacts", "Output", artifacts, default=list(ARTIFACTS[:3])),
    accepted(
        "only Format=disk is laid out by it",
        *("RepartDirectories", "Output", _FILES),
        paths=("mkosi.repart",),
        option="--repart-directory",
    ),
    supported("SectorSize", "Output", sector_size, "inherit"),
    supported("Overlay", "Output", boolean),
    supported("Seed", "Output", unique_id, factory=defaults.seed, paths=("mkosi.seed",), reads=True),
    accepted(
        "it runs when outputs are removed, which is never done here",
        *("CleanScripts", "Output", _FILES),
        paths=("mkosi.clean",),
        globs=("mkosi.clean.d/*",),
        option="--clean-script",
    ),
)
