"""What is wrong with extensions, found before a host boots with them.

    for finding in lint(extensions, host=host):
        print(finding.severity, finding.rule, finding.path, finding.message)

Each rule is a function with a number; `RULES` has them all. `sarif` makes the findings a log that code hosts show.
"""

from __future__ import annotations

from collections.abc import Sequence

from imgcore.errors import show
from imgcore.model import Tree
from imgcore.sysext.architecture import architecture_of_machine
from imgcore.sysext.extension import Extension
from imgcore.sysext.host import read_host
from imgcore.sysext.image import TroubleKind
from imgcore.sysext.kinds import KINDS, KindName
from imgcore.sysext.lint import contents, hosts, naming
from imgcore.sysext.lint.finding import RULES, Context, LintFinding, Rule
from imgcore.sysext.version import NEWEST, SystemdVersion

__all__ = ["RULES", "LintFinding", "Rule", "lint", "sarif"]

_MODULES = (contents, hosts, naming)  # importing them adds their rules
RULES.sort(key=lambda one: int(one.id[1:]))


def lint(
    extensions: Sequence[Extension],
    *,
    host: Tree | None = None,
    kind: KindName = "sysext",
    systemd: SystemdVersion = NEWEST,
    architecture: str = "",
) -> list[LintFinding]:
    """Return what is wrong with some extensions, by extension and rule; `host` is what they are for, if that is known.

    An extension that cannot be read is one finding, `L1`. Raises LimitExceeded, SourceError.
    """
    what = KINDS[kind]
    facts = (
        None
        if host is None
        else read_host(host, what, systemd=systemd, architecture=architecture or architecture_of_machine("x86_64"))
    )
    found: list[LintFinding] = []
    for extension in extensions:
        if extension.tree is None:
            found.append(_unread(extension))
            continue
        others = [one for one in extensions if one is not extension]
        context = Context(extension, extension.tree, what, systemd, host, facts, others)
        for one in RULES:
            found += [
                LintFinding(one.id, one.name, severity, extension.name, path, message, one.why, one.fix)
                for severity, path, message in one.check(context)
            ]
    return found


def _unread(extension: Extension) -> LintFinding:
    """Return the finding about an image of which nothing else can be said."""
    trouble, first = extension.trouble, RULES[0].id
    message = f"cannot be read: {'' if trouble is None else trouble.found}"
    if trouble is not None and trouble.kind is TroubleKind.UNSUPPORTED:
        why, fix = "systemd may well take it, and what is in it is not known here", "look at it with systemd-dissect"
        return LintFinding(first, "image", "warning", extension.name, b"/", message, why, fix)
    why = "while such an image is there, systemd merges no extension at all"
    return LintFinding(first, "image", "error", extension.name, b"/", message, why, "rebuild or remove it")


def sarif(findings: Sequence[LintFinding]) -> dict[str, object]:
    """Return the findings as a log of SARIF 2.1.0."""
    levels = {"error": "error", "warning": "warning", "info": "note"}
    rules = [
        {
            "id": one.id,
            "name": one.name,
            "shortDescription": {"text": one.why},
            "help": {"text": one.fix},
            "defaultConfiguration": {"level": levels[one.severity]},
        }
        for one in RULES
    ]
    results = [
        {
            "ruleId": one.rule,
            "level": levels[one.severity],
            "message": {"text": f"{show(one.extension)}: {show(one.path)}: {one.message}. {one.fix}"},
            "locations": [
                {
                    "physicalLocation": {"artifactLocation": {"uri": _uri(one.extension + one.path)}},
                    "logicalLocations": [{"fullyQualifiedName": f"{show(one.extension)}:{show(one.path)}"}],
                }
            ],
        }
        for one in findings
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {"name": "imgcore sysext lint", "rules": rules}}, "results": results}],
    }


def _uri(path: bytes) -> str:
    plain = b"/-._~"
    return "".join(chr(byte) if (chr(byte).isalnum() and byte < 128) or byte in plain else f"%{byte:02X}" for byte in path)
