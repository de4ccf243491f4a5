"""`imgcore ddi verify IMAGE`: the table, every block against the root hash, the signature."""

from __future__ import annotations

from typing import Any

import click

from imgcore import formats
from imgcore.blob import Blob
from imgcore.build.ddi_read import read_ddi, verify_beside, verify_set
from imgcore.build.source import open_raw_blob
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.system import allowed_cpus
from imgcore.disk.signature import VeritySignature
from imgcore.disk.verity import VerityOptions
from imgcore.errors import VerificationFailed
from imgcore.limits import Limits

__all__ = ["verify_command"]


def _checked_disk(blob: Blob, how: Any) -> list[tuple[int, VerityOptions, bytes, VeritySignature | None]]:
    """Return (number of the data partition, and what was checked) of each file system with a hash tree."""
    disk = read_ddi(blob)
    for problem in disk.gpt.problems:
        raise VerificationFailed(f"the partition table: {problem}", structure="GPT")
    found = disk.sets()
    if all(one.tree is None and one.signature is None for one in found):
        raise VerificationFailed("no partition with a hash tree: there is nothing to verify", structure="GPT")
    for one in found:
        kind = one.data.kind
        if one.tree is None and kind is not None:
            raise VerificationFailed(
                f"partition {one.data.entry.number} ({kind.name}) has no hash tree: whoever mounts the disk may take it",
                structure="GPT",
            )
        if how["certificate"] is not None and kind is not None and one.signature is None:
            raise VerificationFailed(f"partition {one.data.entry.number} ({kind.name}) is not signed", structure="GPT")
    return [(one.data.entry.number, *verify_set(one, **how)) for one in found]


@verb(
    "verify",
    "check the partition table, every block, and the signature",
    examples=(
        "imgcore ddi verify x.raw",
        "imgcore ddi verify x.raw --cert mkosi.crt",
        "imgcore ddi verify x.raw --root-hash $(cat x.roothash)",
    ),
    codes=(3, 5, 7),
)
@click.argument("source", type=SOURCE, metavar="IMAGE")
@click.option("--cert", type=click.Path(dir_okay=False), metavar="PEM", help="Who has to have signed the root hash.")
@click.option("--root-hash", metavar="HEX", help="What the root hash has to be.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@limits_option
def verify_command(
    run: Run, source: SourceSpec, cert: str | None, root_hash: str | None, jobs: int | None, limits: Limits
) -> int | None:
    """Check all that IMAGE says of itself; of a bare squashfs, what the files beside it say (NAME.roothash, NAME.verity).

    Both copies of the partition table, every data block and every byte of the hash tree, the names of the partitions, and with
    --cert the signature of the root hash. Without --root-hash and --cert nobody vouches for the root hash: that the image is
    whole is known then, not who made it. Exit code 7: something does not match.
    """
    try:
        wanted = None if root_hash is None else bytes.fromhex(root_hash.strip())
    except ValueError:
        raise click.UsageError("--root-hash is no text of hexadecimal digits") from None
    if wanted is not None and len(wanted) not in (20, 32, 64):
        raise click.UsageError(f"--root-hash has {len(wanted)} bytes; those of sha1, sha256 and sha512 have 20, 32 and 64")
    checked: list[tuple[int, VerityOptions, bytes, VeritySignature | None]] = []
    with run.work() as control, open_raw_blob(source, limits=limits, stdin=run.stdin(), control=control) as blob:
        how: Any = {"root": wanted, "certificate": cert, "jobs": jobs or allowed_cpus(), "limits": limits, "control": control}
        kind = formats.detect(blob)
        if kind is not None and kind.name == "squashfs" and not source.parts:
            checked.append((0, *verify_beside(blob, source.path, **how)))
        else:
            checked += _checked_disk(blob, how)
    if run.output.as_json:
        sets = [
            {
                "data": number,
                "root": root.hex(),
                "algorithm": options.algorithm,
                "signature": "none" if signature is None else "valid" if cert is not None else "not checked",
            }
            for number, options, root, signature in checked
        ]
        run.output.event("summary", {"verb": "ddi verify", "sets": sets})
        return None
    for number, _, root, signature in checked:
        signed = (
            "" if signature is None else ", signed by the certificate" if cert else ", its signature was not checked (--cert)"
        )
        what = f"partition {number}" if number else "the file system"
        run.output.note(f"{what} is what root hash {root.hex()} stands for{signed}")
    return None
