"""Configurations that each show a rule of the language, with what comes of them; mkosi is asked whether that is so.

`expected` has values of single settings, as `{"SUBIMAGE.Setting": value}` or `{"Setting": value}` of the main image; None in
its place says that the configuration is wrong. `{D}` in a value is the configuration's directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    name: str
    files: dict[str, str | None]
    expected: dict[str, Any] | None
    arguments: tuple[tuple[str, str], ...] = field(default=())


def _conf(text: str, **more: str | None) -> dict[str, str | None]:
    return {"mkosi.conf": text, **{name.replace("__", "/"): value for name, value in more.items()}}


_FINAL = "#!/bin/sh\n"

CASES = [
    Case("nothing", {}, {"Format": "disk", "Output": "image", "Files": []}),
    Case("list appends", _conf("[Content]\nPackages=a,b\nPackages=c\n"), {"Packages": ["a", "b", "c"]}),
    Case("empty resets", _conf("[Content]\nPackages=a\nPackages=\nPackages=b\n"), {"Packages": ["b"]}),
    Case("reset to nothing", _conf("[Output]\nImageId=x\nImageId=\n"), {"ImageId": None}),
    Case("continuation", _conf("[Content]\nPackages=\n  a\n  b,c\n\n  d\n"), {"Packages": ["a", "b", "c", "d"]}),
    Case(
        "a continued line may look like a setting",
        _conf("[Build]\nEnvironment=A=b\n  C=d\n"),
        {"Environment+": {"A": "b", "C": "d"}},
    ),
    Case("comments end lines", _conf("# x\n[Content] # y\nPackages=a # b\n# c\n  d\n"), {"Packages": ["a", "d"]}),
    Case("semicolons are no comments", _conf("[Content]\n; x\n"), None),
    Case(
        "indented as a whole",
        _conf("  [Content]\n  Packages=a\n    b\n  WithDocs=no\n"),
        {"Packages": ["a", "b"], "WithDocs": False},
    ),
    Case(
        "blanks around",
        _conf("[ Content ]\n Packages = a , b \nRemoveFiles=/x\n"),
        {"Packages": ["a ", " b"], "RemoveFiles": ["/x"]},
    ),
    Case("an @ is gone", _conf("[Output]\n@Output=x\n"), {"Output": "x"}),
    Case("older names", _conf("[Content]\nPostInstallationScript=a\n", a="x"), {"PostInstallationScripts": ["{D}/a"]}),
    Case("another section", _conf("[Output]\nPackages=a\n"), {"Packages": ["a"]}),
    Case("Host is Runtime", _conf("[Host]\nRAM=1G\nQemuSmp=3\n"), {"RAM": 1 << 30, "CPUs": 3}),
    Case("outside of a section", _conf("Packages=a\n"), None),
    Case("no name", _conf("[Content]\n=a\n"), None),
    Case("no value", _conf("[Content]\nPackages\n"), None),
    Case("a section without an end", _conf("[Content\nPackages=a\n"), None),
    Case("a section without a name", _conf("[ ]\nPackages=a\n"), None),
    Case("unknown setting", _conf("[Content]\nPakcages=a\n"), None),
    Case(
        "specifiers",
        _conf(
            "[Distribution]\nDistribution=opensuse\nRelease=tumbleweed\nArchitecture=arm64\n[Output]\nImageId=i\n"
            "ImageVersion=2\n"
            "OutputDirectory=out\nFormat=sysext\nOutput=n\n[Content]\nPackages=%d %r %a %t %o %v %i %F 5%% %I %\n"
            "RemoveFiles=%C,%P,%D,%O\n"
        ),
        {
            "Packages": ["opensuse tumbleweed arm64 sysext n 2 i btrfs 5%  %"],
            "RemoveFiles": ["{D}", "{D}", "{D}", "{D}/out"],
        },
    ),
    Case("a specifier that is not set", _conf("[Content]\nPackages=a%vb%i%Zc\n"), {"Packages": ["abc"]}),
    Case("Output has the version", _conf("[Output]\nImageVersion=3\n"), {"Output": "image_3"}),
    Case("Output has the id", _conf("[Output]\nImageId=x\nImageVersion=3\n"), {"Output": "x_3"}),
    Case("Output is a name", _conf("[Output]\nOutput=a/b\n"), None),
    Case("Output of a default asked early stays", _conf("[Output]\nOutputDirectory=%o\nImageId=late\n"), {"Output": "image"}),
    Case(
        "drop-ins in order",
        {
            "mkosi.conf": "[Content]\nPackages=main\n",
            "mkosi.conf.d/20-b.conf": "[Content]\nPackages=b\n",
            "mkosi.conf.d/10-a.conf": "[Content]\nPackages=a\n",
            "mkosi.conf.d/15-d/mkosi.conf": "[Content]\nPackages=d\n[Output]\nOutputDirectory=here\n",
            "mkosi.conf.d/15-d/mkosi.extra": None,
            "mkosi.conf.d/15-d/mkosi.conf.d/x.conf": "[Content]\nPackages=dx\n",
            "mkosi.conf.d/ignored.txt": "[Content]\nPackages=no\n",
        },
        {
            "Packages": ["main", "a", "d", "dx", "b"],
            "OutputDirectory": "{D}/mkosi.conf.d/15-d/here",
            "ExtraTrees": [{"Source": "{D}/mkosi.conf.d/15-d/mkosi.extra", "Target": None}],
        },
    ),
    Case(
        "match",
        {
            "mkosi.conf": "[Distribution]\nDistribution=fedora\nRelease=41\n[Output]\nFormat=tar\nImageVersion=2.0\n",
            "mkosi.conf.d/a.conf": "[Match]\nDistribution=fedora\nFormat=tar\n[Content]\nPackages=a\n",
            "mkosi.conf.d/b.conf": "[Match]\nDistribution=debian\n[Content]\nPackages=b\n",
            "mkosi.conf.d/c.conf": "[Match]\nDistribution=|debian\nDistribution=|fedora\n[Content]\nPackages=c\n",
            "mkosi.conf.d/d.conf": "[Match]\nDistribution=!debian\nImageVersion=>1.9\nImageVersion=<=2.0\n[Content]\n"
            "Packages=d\n",
            "mkosi.conf.d/e.conf": "[Match]\nDistribution=|debian\nRelease=|40\n[Content]\nPackages=e\n",
            "mkosi.conf.d/f.conf": "[TriggerMatch]\nDistribution=debian\n[TriggerMatch]\nRelease=41\nFormat=tar\n"
            "[Content]\nPackages=f\n",
            "mkosi.conf.d/g.conf": "[TriggerMatch]\nDistribution=debian\n[Content]\nPackages=g\n",
            "mkosi.conf.d/h.conf": "[Match]\nPathExists=mkosi.conf\nPathExists=!none\nHostArchitecture=%a\n[Content]\n"
            "Packages=h\n",
            "mkosi.conf.d/i.conf": "[Match]\nDistribution=|!debian\nRelease=|!41\n[Content]\nPackages=i\n",
        },
        {"Packages": ["a", "c", "d", "f", "h", "i"]},
    ),
    Case(
        "match on features, lists, variables and ids",
        {
            "mkosi.conf": "[Output]\nImageId=abc\n[Build]\nEnvironment=A=1 B=2\n[Distribution]\nRepositories=x,y\n",
            "mkosi.conf.d/a.conf": "[Match]\nBootable=auto\nEnvironment=A\nEnvironment=B=2\n[Content]\nPackages=a\n",
            "mkosi.conf.d/b.conf": "[Match]\nImageId=a*\nRepositories=x\nRepositories=!z\n[Content]\nPackages=b\n",
            "mkosi.conf.d/c.conf": "[Match]\nProfiles=\nBootable=no\n[Content]\nPackages=c\n",
            "mkosi.conf.d/d.conf": "[Match]\nProfiles=\n[Content]\nPackages=d\n",
        },
        {"Packages": ["a", "b", "d"]},
    ),
    Case("no condition", _conf("[Match]\nPackages=a\n"), None),
    Case("match of an unknown distribution", _conf("[Match]\nDistribution=suse\n"), None),
    Case("a main file that does not match", _conf("[Match]\nFormat=tar\n[Content]\nPackages=a\n"), {"Packages": []}),
    Case(
        "profiles",
        {
            "mkosi.conf": "[Config]\nProfiles=p,q\n[Content]\nPackages=main\n",
            "mkosi.profiles/p.conf": "[Content]\nPackages=p\n",
            "mkosi.profiles/q/mkosi.conf": "[Content]\nPackages=q\n",
            "mkosi.profiles/q/mkosi.extra": None,
            "mkosi.profiles/r.conf": "[Content]\nPackages=r\n",
            "mkosi.conf.d/x.conf": "[Match]\nProfiles=p\n[Content]\nPackages=x\n",
        },
        {"Packages": ["main", "x", "p", "q"], "ExtraTrees": [{"Source": "{D}/mkosi.profiles/q/mkosi.extra", "Target": None}]},
    ),
    Case(
        "a profile of the command line",
        {"mkosi.conf": "[Content]\nPackages=main\n", "mkosi.profiles/p.conf": "[Content]\nPackages=p\n"},
        {"Packages": ["main", "p"], "Profiles": ["p"]},
        (("Profiles", "p"),),
    ),
    Case(
        "mkosi.local.conf wins",
        {
            "mkosi.conf": "[Output]\nOutput=main\n[Content]\nPackages=main\n",
            "mkosi.local.conf": "[Output]\nOutput=local\n[Content]\nPackages=local\n",
        },
        {"Output": "local", "Packages": ["main", "local"]},
    ),
    Case(
        "mkosi.local",
        {"mkosi.conf": "[Output]\nOutput=main\n", "mkosi.local/mkosi.conf": "[Output]\nOutput=local\nOutputDirectory=o\n"},
        {"Output": "local", "OutputDirectory": "{D}/mkosi.local/o"},
    ),
    Case(
        "the command line wins, lists are added to",
        _conf("[Output]\nOutput=main\n[Content]\nPackages=main\nRemoveFiles=/a\n"),
        {"Output": "cli", "Packages": ["main", "cli"], "RemoveFiles": ["/b"]},
        (("Output", "cli"), ("Packages", "cli"), ("RemoveFiles", ""), ("RemoveFiles", "/b")),
    ),
    Case(
        "includes",
        {
            "mkosi.conf": "[Content]\nPackages=before\n[Include]\nInclude=inc\n[Content]\nPackages=after\n[Include]\n"
            "Include=one.txt,inc\n",
            "inc/mkosi.conf": "[Content]\nPackages=inc\n[Output]\nOutputDirectory=o\n",
            "inc/mkosi.conf.d/x.conf": "[Content]\nPackages=incx\n[Include]\nInclude=%D/one.txt\n",
            "inc/mkosi.skeleton": None,
            "one.txt": "[Content]\nPackages=one\n",
        },
        {"Packages": ["before", "inc", "incx", "one", "after"], "OutputDirectory": "{D}/inc/o"},
    ),
    Case("an include that is not there", _conf("[Include]\nInclude=none\n"), None),
    Case(
        "an include that does not match",
        {"mkosi.conf": "[Include]\nInclude=a\n", "a/mkosi.conf": "[Match]\nFormat=tar\n[Content]\nPackages=a\n"},
        {"Packages": []},
    ),
    Case(
        "implicit paths",
        {
            "mkosi.conf": "[Output]\nFormat=tar\n",
            "mkosi.version": "1.2.3\n",
            "mkosi.seed": "750b6cd5-c4ae-4012-a15e-7be3c29e6a47\n",
            "mkosi.extra/a": "x",
            "mkosi.extra.tar": "",
            "mkosi.skeleton": None,
            "mkosi.packages": None,
            "mkosi.repart": None,
            "mkosi.output": None,
            "mkosi.finalize": _FINAL,
            "mkosi.finalize.chroot": _FINAL,
            "mkosi.finalize.d/20": _FINAL,
            "mkosi.finalize.d/10": _FINAL,
            "mkosi.postinst": _FINAL,
            "mkosi.postoutput": _FINAL,
            "mkosi.env": "X=1\nY = z z\n",
            "mkosi.rootpw": "hashed:abc",
            "mkosi.machine-id": "750b6cd5c4ae4012a15e7be3c29e6a47",
            "mkosi.credentials/c": "secret",
        },
        {
            "ImageVersion": "1.2.3",
            "Output": "image_1.2.3",
            "Seed": "750b6cd5-c4ae-4012-a15e-7be3c29e6a47",
            "ExtraTrees": [{"Source": "{D}/mkosi.extra", "Target": None}, {"Source": "{D}/mkosi.extra.tar", "Target": None}],
            "SkeletonTrees": [{"Source": "{D}/mkosi.skeleton", "Target": None}],
            "PackageDirectories": ["{D}/mkosi.packages"],
            "RepartDirectories": ["{D}/mkosi.repart"],
            "OutputDirectory": "{D}/mkosi.output",
            "FinalizeScripts": [f"{{D}}/mkosi.finalize{one}" for one in ("", ".chroot", ".d/10", ".d/20")],
            "PostInstallationScripts": ["{D}/mkosi.postinst"],
            "PostOutputScripts": ["{D}/mkosi.postoutput"],
            "RootPassword": ["abc", True],
            "MachineId": "750b6cd5-c4ae-4012-a15e-7be3c29e6a47",
            "Credentials": {"c": "secret"},
            "Environment+": {"X": "1", "Y": "z z", "IMAGE_VERSION": "1.2.3"},
        },
    ),
    Case("keys", {"mkosi.key": "k", "mkosi.crt": "c"}, {"VerityKey": "{D}/mkosi.key", "VerityCertificate": "{D}/mkosi.crt"}),
    Case("a version that should be a program", {"mkosi.version": "# x\n", "mkosi.conf": ""}, {"ImageVersion": "# x"}),
    Case(
        "environment",
        _conf("[Build]\nEnvironment=A=1 B='x y'\n  C=\\ z\nEnvironment=A=2\n"),
        {"Environment+": {"A": "2", "B": "x y", "C": "z"}},
    ),
    Case("environment with an open quote", _conf("[Build]\nEnvironment=A='x\n"), None),
    Case(
        "trees",
        _conf("[Content]\nExtraTrees=a:/b\n  c\n"),
        {"ExtraTrees": [{"Source": "{D}/a", "Target": "/b"}, {"Source": "{D}/c", "Target": None}]},
    ),
    Case("a target that is not absolute", _conf("[Content]\nExtraTrees=a:b\n"), None),
    Case("a skeleton that is not there", _conf("[Content]\nSkeletonTrees=a\n"), None),
    Case("base trees need not be there", _conf("[Content]\nBaseTrees=%D/none,a/../b\n"), {"BaseTrees": ["{D}/none", "{D}/b"]}),
    Case("overlay needs a base", _conf("[Output]\nOverlay=yes\n"), None),
    Case("compression", _conf("[Output]\nFormat=sysext\nCompressOutput=yes\n"), {"CompressOutput": "zstd"}),
    Case("compression of a tar", _conf("[Output]\nFormat=tar\n"), {"CompressOutput": "zstd"}),
    Case(
        "compression by another name",
        _conf("[Output]\nCompressOutput=gzip\nCompressLevel=9\n"),
        {"CompressOutput": "gz", "CompressLevel": 9},
    ),
    Case("artifacts", _conf("[Output]\nSplitArtifacts=partitions\n"), {"SplitArtifacts": ["partitions"]}),
    Case(
        "all artifacts", _conf("[Output]\nSplitArtifacts=yes\n"), {"SplitArtifacts": ["uki", "kernel", "initrd", "partitions"]}
    ),
    Case(
        "artifacts add up",
        _conf("[Output]\nSplitArtifacts=partitions\nSplitArtifacts=uki\n"),
        {"SplitArtifacts": ["partitions", "uki"]},
    ),
    Case("sign means checksum", _conf("[Validation]\nSign=yes\n"), {"Checksum": True}),
    Case("mode", _conf("[Output]\nOutputMode=640\n"), {"OutputMode": 0o640}),
    Case("mode that is none", _conf("[Output]\nOutputMode=2000\n"), None),
    Case("sector size", _conf("[Output]\nSectorSize=4096\n"), {"SectorSize": 4096}),
    Case("sector size that is none", _conf("[Output]\nSectorSize=600\n"), None),
    Case("seed that is none", _conf("[Output]\nSeed=x\n"), None),
    Case("boolean that is none", _conf("[Output]\nOverlay=perhaps\n"), None),
    Case(
        "times", _conf("[Content]\nSourceDateEpoch=12\n"), {"SourceDateEpoch": 12, "Environment+": {"SOURCE_DATE_EPOCH": "12"}}
    ),
    Case("a time before all times", _conf("[Content]\nSourceDateEpoch=-1\n"), None),
    Case(
        "feature",
        _conf("[Content]\nCleanPackageMetadata=yes\nBootable=false\n"),
        {"CleanPackageMetadata": "enabled", "Bootable": "disabled"},
    ),
    Case(
        "minimum version",
        _conf("[Config]\nMinimumVersion=20\nMinimumVersion=25.1\nMinimumVersion=3\n"),
        {"MinimumVersion": "25.1"},
    ),
    Case(
        "drives",
        _conf("[Runtime]\nDrives=a:1G b:4K::x\n"),
        {"Drives+": {"Id": "a", "Size": 1 << 30, "Directory": None, "Options": None, "FileId": "a"}},
    ),
    Case(
        "profiles of a unified kernel image",
        {"mkosi.uki-profiles/a.conf": "[UKIProfile]\nProfile=ID=x\n  TITLE=y\nCmdline=a b\n"},
        {"UnifiedKernelImageProfiles": [{"Profile": {"ID": "x", "TITLE": "y"}, "Cmdline": ["a", "b"]}]},
    ),
    Case(
        "subimages",
        {
            "mkosi.conf": "[Output]\nFormat=none\nImageVersion=7\nImageId=main\n[Content]\nPackages=main\nSourceDateEpoch=5\n"
            "[Config]\nPassEnvironment=A\n[Build]\nEnvironment=A=1 B=2\n",
            "mkosi.images/b.conf": "[Config]\nDependencies=a\n[Output]\nFormat=sysext\n",
            "mkosi.images/a/mkosi.conf": "[Output]\nImageId=own\n[Content]\nPackages=%I\n",
            "mkosi.images/a/mkosi.extra": None,
            "mkosi.images/c.conf": "[Match]\nFormat=tar\n",
            "mkosi.images/z.txt": "",
        },
        {
            "Dependencies": ["a", "b"],
            "Packages": ["main"],
            "a.Packages": ["a"],
            "a.Output": "a_7",
            "a.ImageId": "own",
            "b.ImageId": "main",
            "b.Packages": [],
            "b.SourceDateEpoch": 5,
            "a.ExtraTrees": [{"Source": "{D}/mkosi.images/a/mkosi.extra", "Target": None}],
            "a.Environment+": {"A": "1", "SUBIMAGE": "a", "IMAGE_ID": "own", "IMAGE_VERSION": "7", "SOURCE_DATE_EPOCH": "5"},
        },
    ),
    Case("a universal setting in a subimage", {"mkosi.images/a.conf": "[Distribution]\nRelease=1\n"}, None),
    Case(
        "what is there of universal settings is not looked at in subimages",
        {"mkosi.images/a/mkosi.packages": None, "mkosi.images/a/mkosi.finalize": _FINAL},
        {"a.PackageDirectories": [], "a.FinalizeScripts": ["{D}/mkosi.images/a/mkosi.finalize"]},
    ),
    Case(
        "images in a circle",
        {"mkosi.images/a.conf": "[Config]\nDependencies=b\n", "mkosi.images/b.conf": "[Config]\nDependencies=a\n"},
        None,
    ),
    Case("an image that is not there", _conf("[Config]\nDependencies=a\n"), None),
    Case(
        "only what is depended on",
        {
            "mkosi.conf": "[Config]\nDependencies=b\n",
            "mkosi.images/a.conf": "[Output]\nFormat=tar\n",
            "mkosi.images/b.conf": "",
        },
        {"Dependencies": ["b"], "b.Format": "disk"},
    ),
    Case(
        "subimages have local files and profiles",
        {
            "mkosi.conf": "[Config]\nProfiles=p\n",
            "mkosi.images/a/mkosi.local.conf": "[Content]\nPackages=local\n",
            "mkosi.images/a/mkosi.profiles/p.conf": "[Content]\nPackages=p\n",
            "mkosi.images/b.conf": "",
        },
        {"a.Packages": ["p", "local"], "b.Packages": ["local"]},
    ),
    Case(
        "tools tree",
        _conf("[Build]\nToolsTree=default\n[Distribution]\nDistribution=centos\n"),
        {"ToolsTree": "default", "Release": "10"},
    ),
    Case("search paths below usr", _conf("[Build]\nExtraSearchPaths=/usr/bin\n"), None),
    Case("a configuration of text that is none", {"mkosi.conf": "[Content]\nPackages=\udcff\n"}, None),
]
"""Each rule once."""

KUBECTL = Case(
    "kubectl",
    {
        "mkosi.conf": "[Distribution]\nDistribution=opensuse\nRelease=tumbleweed\n\n[Build]\n"
        "Environment=SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=squashfs\n\n[Output]\nFormat=sysext\nOutputDirectory=mkosi.output\n"
        "Output=kubectl-3.0.%a\n",
        "mkosi.extra/usr/bin/kubectl": "#!/bin/sh\n",
    },
    {
        "Output": "kubectl-3.0.x86-64",
        "OutputDirectory": "{D}/mkosi.output",
        "Environment+": {"SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT": "squashfs"},
    },
    (("Architecture", "x86-64"),),
)
TOOLS = Case(
    "tools",
    {
        "mkosi.conf": "[Distribution]\nDistribution=opensuse\nRelease=tumbleweed\n[Output]\n"
        "OutputDirectory=mkosi.output\nFormat=none\n"
        "[Content]\nSELinuxRelabel=true\nPackages=\n    aaa_base\n    coreutils\n    grep\n    sed\n    strace\n    xz\n",
        "mkosi.images/base/mkosi.conf": "[Output]\nFormat=directory\nOutput=base\n[Content]\nPackages=\n  aaa_base\n"
        "  sed\n  grep\n",
        "mkosi.images/tools/mkosi.conf": "[Config]\nDependencies=base\n[Build]\n"
        "Environment=SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=squashfs\n[Output]\nFormat=sysext\nOverlay=yes\nImageVersion=1.0\n"
        "Output=tools-1.0_%v_%a\n[Validation]\nVerity=no\n[Content]\nCleanPackageMetadata=yes\nBaseTrees=%O/base\n"
        "Packages=strace\n",
        "mkosi.images/tools/mkosi.finalize": _FINAL,
    },
    {
        "tools.Output": "tools-1.0_1.0_x86-64",
        "tools.BaseTrees": ["{D}/mkosi.output/base"],
        "tools.FinalizeScripts": ["{D}/mkosi.images/tools/mkosi.finalize"],
        "tools.Overlay": True,
        "SELinuxRelabel": "enabled",
        "Dependencies": ["base", "tools"],
    },
    (("Architecture", "x86-64"),),
)
EXAMPLES = [KUBECTL, TOOLS]
