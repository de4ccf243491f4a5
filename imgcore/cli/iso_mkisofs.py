"""`imgcore iso mkisofs …`: the command line of `xorriso -as mkisofs`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from imgcore.cli.command import Verb

__all__ = ["mkisofs_command"]


@click.command(
    "mkisofs",
    cls=Verb,
    short_help="write an image as `xorriso -as mkisofs` is told to",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS] -o FILE PATH...")
def mkisofs_command(words: Sequence[str]) -> int:
    """Write an image with the options of `xorriso -as mkisofs`: the same image in meaning.

    -V -A -P -p -sysid -volset -o -R -r -J -joliet-long -iso-level -U -relaxed-filenames -b -c -e -no-emul-boot -boot-load-size
    -boot-info-table -eltorito-alt-boot -eltorito-platform -eltorito-id --grub2-boot-info --grub2-mbr -G -isohybrid-mbr
    -isohybrid-gpt-basdat -append_partition -appended_part_as_gpt -partition_offset -partition_cyl_align -iso_mbr_part_type
    --mbr-force-bootable --gpt_disk_guid --modification-date --set_all_file_dates -graft-points -m -x -exclude-list
    --boot-catalog-hide -sort-weight -f -uid -gid -file-mode -dir-mode, and intervals of files. An option that is not there is
    refused by name. `imgcore shims --iso DIR` writes scripts that stand for the programs.
    """
    from imgcore.cli.shims.mkisofs import main

    return main(words, usage=2)


mkisofs_command.examples = (
    "imgcore iso mkisofs -R -J -V LIVE -o out.iso tree",
    "imgcore iso mkisofs -V LIVE -o out.iso -append_partition 2 0xef esp.img -appended_part_as_gpt -partition_offset 16"
    " -e --interval:appended_partition_2:all:: -no-emul-boot tree",
)
mkisofs_command.codes = (1, 3, 4)
