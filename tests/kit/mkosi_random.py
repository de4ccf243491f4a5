"""Random configurations: any setting with texts that it may take, and a few that it may not, in any kind of file."""

from __future__ import annotations

import contextlib
import functools
import random
import tempfile
from pathlib import Path

from imgcore.errors import ImgcoreError
from imgcore.mkosi import SETTINGS, Host, Place, Setting
from imgcore.mkosi.names import ARCHITECTURES, DISTRIBUTIONS, FORMATS
from imgcore.mkosi.values import parsed
from tests.kit.mkosi import write_files

TEXTS = [
    *("", "yes", "no", "true", "0", "auto", "enabled", "disabled", "always", "never", "1", "12", "0640", "4096", "3G", "-1"),
    *(
        "x",
        "a,b",
        "a b",
        "a,,b",
        "a\n  b\n  c,d",
        "'a b' c",
        '"a,b"',
        "%a",
        "%i-%v",
        "%%x",
        "%d%r%t%o",
        "%I",
        "%F",
        "$HOME",
        "%C/f",
    ),
    *("A=1", "A=1 B=2", "A='x y'", "HOME", "a=b\n  c=d", "mkosi.conf", "f", "./f", "f:/t", "f:t", "d:/x/../y", "~/x", "%D/f"),
    *("750b6cd5-c4ae-4012-a15e-7be3c29e6a47", "gz", "xz", "zstd", "none", "gzip", "partitions", "uki,kernel", "file", "file:x"),
    *(
        "provider:y",
        "engine:e",
        "json",
        "grub",
        "unsigned",
        "default",
        "strict",
        "buildcache",
        "metadata",
        "uefi",
        "native",
        "gui",
    ),
    *("user", "qemu", "hash", "hashed:x", "microsoft", "a:1G", "1.0", "25.3", "2.0~rc1", "p", "p,q", "rolling"),
]
GOOD_FOR = {"Distribution": [*DISTRIBUTIONS], "Architecture": [*ARCHITECTURES], "Format": [*FORMATS]}
CONDITIONS = [
    *(
        "Distribution=fedora",
        "Distribution=!fedora",
        "Distribution=|fedora",
        "Distribution=|!opensuse",
        "Format=sysext",
        "Format=|tar",
    ),
    *(
        "ImageVersion=>=1",
        "ImageVersion=<2",
        "ImageId=*",
        "ImageId=|a*",
        "Architecture=x86-64",
        "PathExists=f",
        "PathExists=!none",
    ),
    *("Bootable=auto", "Bootable=|no", "Environment=A", "Environment=A=1", "Profiles=p", "Profiles=!q", "HostArchitecture=%a"),
    *(
        "Release=41",
        "Release=!%r",
        "ToolsTreeDistribution=fedora",
        "Repositories=",
        "BuildSources=t",
        "Packages=a",
        "Distribution=no",
    ),
]
LEFT_OUT = {"Include"}
BESIDE: dict[str, str | None] = {"f": "x", "d/x": None, "y": None}


@functools.cache
def _texts(name: str) -> tuple[list[str], list[str]]:
    """Return (texts that the setting takes, all)."""
    (setting,) = (one for one in SETTINGS if one.name == name)
    good = list(GOOD_FOR.get(name, ()))
    with tempfile.TemporaryDirectory() as place:
        write_files(Path(place), BESIDE)
        at = Place(Host(Path(place), {"HOME": place}, home=lambda user: place), Path(place))
        for text in TEXTS:
            with contextlib.suppress(ImgcoreError):
                parsed(setting.parse, text.replace("%C", place).replace("%D", place), None, at)
                good.append(text)
    return good, [*TEXTS, *GOOD_FOR.get(name, ())]


def _line(rng: random.Random, setting: Setting) -> str:
    good, all_of_them = _texts(setting.name)
    text = rng.choice(all_of_them if rng.random() < 0.004 else good)
    name = rng.choice([setting.name, setting.name, *setting.aliases])
    return f"[{setting.section}]\n{name}={text}\n" + ("# c\n" if rng.random() < 0.1 else "")


def _text(rng: random.Random, *, conditions: bool, local: bool = False) -> str:
    out = []
    if conditions:
        for section in rng.choice(
            (["Match"], ["Match"], ["TriggerMatch"], ["TriggerMatch", "TriggerMatch"], ["Match", "TriggerMatch"])
        ):
            usual = CONDITIONS[:-2] if rng.random() < 0.97 else CONDITIONS
            out.append(f"[{section}]\n" + "\n".join(rng.choices(usual, k=rng.randint(1, 3))) + "\n")
    rows = [one for one in SETTINGS if one.name not in LEFT_OUT and not (local and one.scope == "universal")]
    out += [_line(rng, one) for one in rng.choices(rows, k=rng.randint(0, 12))]
    return "".join(out)


def configuration(rng: random.Random) -> dict[str, str | None]:
    """Return the files of a configuration."""
    directories = ("", "mkosi.conf.d/c/", "mkosi.profiles/q/", "mkosi.images/n/")
    files = {f"{one}{name}": text for one in directories for name, text in BESIDE.items()}
    files["mkosi.conf"] = _text(rng, conditions=False)
    for name in rng.sample(["mkosi.conf.d/a.conf", "mkosi.conf.d/b.conf", "mkosi.conf.d/c/mkosi.conf"], rng.randint(0, 3)):
        files[name] = _text(rng, conditions=rng.random() < 0.7)
    for name in rng.sample(["mkosi.profiles/p.conf", "mkosi.profiles/q/mkosi.conf", "inc.conf"], rng.randint(0, 2)):
        files[name] = _text(rng, conditions=rng.random() < 0.3)
    if "inc.conf" in files:
        files["mkosi.conf"] = f"[Include]\nInclude=inc.conf\n{files['mkosi.conf']}"
    if rng.random() < 0.3:
        files["mkosi.local.conf"] = _text(rng, conditions=False)
    for name in rng.sample(["mkosi.images/m.conf", "mkosi.images/n/mkosi.conf"], rng.randint(0, 2)):
        files[name] = _text(rng, conditions=rng.random() < 0.3, local=True)
    for name in rng.sample(
        ["mkosi.extra", "mkosi.skeleton", "mkosi.output", "mkosi.packages", "mkosi.cache"], rng.randint(0, 3)
    ):
        files[name] = None
    if rng.random() < 0.3:
        files["mkosi.version"] = "1.5\n"
    return files


def arguments(rng: random.Random) -> list[tuple[str, str]]:
    """Return settings of a command line."""
    rows = [
        one
        for one in SETTINGS
        if one.name in ("Packages", "RemoveFiles", "ImageId", "Output", "Profiles", "Distribution", "Format")
    ]
    given = []
    for setting in rng.sample(rows, rng.choice((0, 0, 1, 2))):
        good, _ = _texts(setting.name)
        given.append((setting.name, rng.choice([text for text in good if "\n" not in text])))
    return given
