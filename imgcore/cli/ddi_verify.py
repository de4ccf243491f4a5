"""`imgcore ddi verify IMAGE`: the table, every block against the root hash, the signature."""

from __future__ import annotations

import click

from imgcore.build.ddi_read import read_ddi, verify_set
from imgcore.build.source import open_raw_blob
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.system import allowed_cpus
from imgcore.errors import VerificationFailed
from imgcore.limits import Limits

__all__ = ["verify_command"]


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
    """Check all that IMAGE says of itself.

    Both copies of the partition table, every data block and every byte of the hash tree, the names of the partitions, and with
    --cert the signature of the root hash. Without --root-hash and --cert nobody vouches for the root hash: that the image is
    whole is known then, not who made it. Exit code 7: something does not match.
    """
    try:
        wanted = None if root_hash is None else bytes.fromhex(root_hash.strip())
    except ValueError:
        raise click.UsageError("--root-hash is no text of hexadecimal digits") from None
    checked = []
    with run.work() as control, open_raw_blob(source, limits=limits, stdin=run.stdin(), control=control) as blob:
        disk = read_ddi(blob)
        for problem in disk.gpt.problems:
            raise VerificationFailed(f"the partition table: {problem}", structure="GPT")
        found = [one for one in disk.sets() if one.tree is not None or one.signature is not None]
        if not found:
            raise VerificationFailed("no partition with a hash tree: there is nothing to verify", structure="GPT")
        for one in found:
            options, root, signature = verify_set(
                one, root=wanted, certificate=cert, jobs=jobs or allowed_cpus(), limits=limits, control=control
            )
            checked.append((one.data.entry.number, options, root, signature))
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
        run.output.note(f"partition {number} is what root hash {root.hex()} stands for{signed}")
    return None
