"""Every preset, as made and after a change, booted by each firmware from each medium: `python -m tests.oracle.iso_boots`.

A boot is equal when the probe saw every file of the image with its hash and its metadata and the kernel said nothing of the
GPT. `test_iso_boots.py` runs a part of this. Takes about ten minutes with one boot at a time, on two cores with --jobs 2 half.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import subprocess
import sys
import tempfile
from pathlib import Path

from imgcore.build.source import open_source
from imgcore.testing.qemu import Firmware, Medium, boot, differences
from tests.kit.iso_trees import boot_tree, hybrid_mbr

PRESETS: dict[str, tuple[str, str] | None] = {
    "elemental": None,
    "fedora": ("boot/grub/eltorito.img", "grub2"),
    "ubuntu": ("boot/grub/eltorito.img", "grub2"),
    "debian": ("isolinux/isolinux.bin", "isolinux"),
    "talos": ("boot/grub/eltorito.img", "grub2"),
    "uki": None,
}
MEDIA: tuple[Medium, ...] = ("cd", "usb")


def call(*words: str | Path) -> None:
    """Run one command line of imgcore."""
    subprocess.run([sys.executable, "-m", "imgcore", *map(str, words)], check=True)


def make(preset: str, place: Path) -> tuple[Path, Path]:
    """Write an image of a preset, and a changed one."""
    tree, esp = boot_tree(uki=preset == "uki")
    image, changed = place / f"{preset}.iso", place / f"{preset}-changed.iso"
    loader = PRESETS[preset]
    words = ["--bios", loader[0], "--mbr", str(hybrid_mbr(loader[1]))] if loader is not None else []
    call("iso", "create", "-q", "--no-sync", "--preset", preset, "--esp", esp, "--volume-id", "LIVE", *words, tree, image)
    extra = place / "site.yaml"
    extra.write_text("site: 1\n")
    edits = ["--add", f"{extra}:/config/site.yaml", "--remove", "/old", "--esp-add", f"{extra}:/loader/site.conf"]
    call("iso", "modify", "-q", "--no-sync", image, changed, *edits)
    return image, changed


def verdict(image: Path, firmware: Firmware, medium: Medium) -> str:
    """Boot an image; return what differed, "" for nothing."""
    report = boot(image, firmware, medium)
    with open_source(str(image)) as source:
        wrong = list(differences(report, source.tree))
    if not report.seen and not wrong:
        wrong = ["nothing was seen"]
    print(f"{image.name} {firmware} {medium}: {'differs' if wrong else 'equal'}, {report.seconds:.0f} s", flush=True)
    return "; ".join(wrong)


def main() -> int:
    """Run as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--jobs", type=int, default=2)
    said = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as place, concurrent.futures.ThreadPoolExecutor(said.jobs) as pool:
        asked = []
        for preset in said.presets:
            firmwares: tuple[Firmware, ...] = ("uefi",) if PRESETS[preset] is None else ("bios", "uefi")
            for image in make(preset, Path(place)):
                asked += [pool.submit(verdict, image, firmware, medium) for firmware in firmwares for medium in MEDIA]
        for one in asked:
            text = one.result()
            failed += bool(text)
            if text:
                print(text)
    print(f"{len(asked)} boots, {failed} differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
