#!/usr/bin/env python3
"""Run imgcore and its peers in turn on the same directories, and print time, memory, size and the ratios ours / theirs.

    benchmarks/run.py --corpus all --codecs gzip,zstd:3,zstd:15,lz4,xz --peers mksquashfs
    benchmarks/run.py --corpus big,small --codecs lz4 --rounds 5
    benchmarks/run.py --floor | --unpack | --reads | --cache | --scale 10000,100000,1000000
    benchmarks/run.py --everything --resume         all of it; what is in the results already is left out
    benchmarks/run.py --write-docs                  docs/performance.md, from the results

Corpora are made where they are missing (corpus.py). Every result is saved in benchmarks/corpora/results.json (`--json`) as
soon as it is there. README.md says what is measured and what is not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import corpora, docs, packing, programs, reading, rebuild, report, scale, unpacking
from bench.floor import Blocks, against_floor
from bench.measure import ROOT, Runner, read_all
from bench.programs import Codec, Programs
from bench.results import Case, Results

PLACE = Path(__file__).resolve().parent / "corpora"
CODECS = "gzip,zstd:3,zstd:15,lz4,xz"
SCALE = "10000,100000,1000000"
KINDS = ("pack", "floor", "unpack", "reads", "cache", "scale")
Job = tuple[str, Path, Callable[[], Case]]


class Bench:
    """What the cases of one call share."""

    def __init__(self, options: argparse.Namespace, runner: Runner, found: Programs, results: Results) -> None:
        self.options, self.runner, self.programs, self.results = options, runner, found, results

    def source(self, name: str) -> Path:
        """Return a corpus, or a directory that is named by its path."""
        return corpora.make(name, self.options.corpora) if name in corpora.MAKERS else Path(name).resolve()

    def corpora(self, default: str) -> list[str]:
        """Return the corpora that are asked for."""
        names = (self.options.corpus or default).split(",")
        return list(corpora.MAKERS) if names == ["all"] else names

    def codecs(self, default: str) -> list[Codec]:
        """Return the codecs that are asked for."""
        return [Codec.parse(text) for text in (self.options.codecs or default).split(",")]

    def packs(self) -> Iterator[Job]:
        """Yield packing of every corpus with every codec."""
        for name in self.corpora("all"):
            source = self.source(name)
            for codec in self.codecs(CODECS):
                # As defaults, for the loop's variables are others by the time that it runs.
                def case(source: Path = source, codec: Codec = codec) -> Case:
                    options = self.options
                    return packing.pack(self.runner, self.programs, source, codec, options.rounds, not options.no_verify)

                yield f"pack {name} {codec}", source, case

    def floors(self) -> Iterator[Job]:
        """Yield the floor of every corpus with every codec; a corpus is in memory while its codecs are measured."""
        for name in self.corpora("big,small"):
            source = self.source(name)
            blocks: list[Blocks] = []
            for codec in self.codecs(CODECS):

                def case(source: Path = source, codec: Codec = codec, blocks: list[Blocks] = blocks) -> Case:
                    if not blocks:
                        blocks.append(Blocks(source, self.programs.block_size))
                    return against_floor(self.runner, self.programs, source, blocks[0], codec, self.options.rounds)

                yield f"floor {name} {codec}", source, case

    def unpacks(self) -> Iterator[Job]:
        """Yield unpacking of every corpus."""
        for name in self.corpora("big,small,mixed,dup"):
            source = self.source(name)
            for codec in self.codecs("gzip,zstd:3"):

                def case(source: Path = source, codec: Codec = codec) -> Case:
                    options = self.options
                    return unpacking.unpack(self.runner, self.programs, source, codec, options.rounds, not options.no_verify)

                yield f"unpack {name} {codec}", source, case

    def reads(self) -> Iterator[Job]:
        """Yield random reads, and what has to be quick."""
        for name in self.corpora("mixed"):
            source = self.source(name)
            for codec in self.codecs("zstd:3"):

                def case(source: Path = source, codec: Codec = codec) -> Case:
                    site = self.options.corpora / "site"
                    return reading.reads(self.runner, self.programs, source, codec, self.options.rounds, site)

                yield f"reads {name} {codec}", source, case
                yield from self._several(
                    "startup ", source, reading.startup(self.runner, self.programs, source, codec, self.options.rounds)
                )

    def caches(self) -> Iterator[Job]:
        """Yield rebuilding."""
        if not rebuild.is_there(self.runner, self.programs):
            print("this imgcore has no --cache", file=sys.stderr)
            return
        for name in self.corpora("big"):
            source = self.source(name)
            for codec in self.codecs("zstd:15"):
                cases = rebuild.rebuilds(self.runner, self.programs, source, codec, self.options.rounds)
                yield from self._several(f"cache {name} {codec} ", source, cases)

    def scales(self) -> Iterator[Job]:
        """Yield growth."""
        counts = [int(count) for count in (self.options.scale or SCALE).split(",")]
        for codec in self.codecs("zstd:3"):
            found = scale.growth(self.runner, self.programs, counts, codec, self.options.rounds)
            yield from self._several(f"scale {codec} ", self.runner.scratch, found)

    def _several(self, prefix: str, source: Path, cases: Iterator[tuple[str, Case]]) -> Iterator[Job]:
        """Yield cases that are measured together, and left out together; their names begin with `prefix`."""
        if self.options.resume and any(name.startswith(prefix) for name in self.results.cases):
            return
        for name, case in cases:
            yield name, source, lambda case=case: case  # type: ignore[misc]

    def jobs(self) -> Iterator[Job]:
        """Yield all that is asked for."""
        asked = {name for name in KINDS if getattr(self.options, name)} or {"pack"}
        if self.options.everything:
            asked = set(KINDS)
        for name, jobs in zip(
            KINDS, (self.packs, self.floors, self.unpacks, self.reads, self.caches, self.scales), strict=True
        ):
            if name in asked:
                yield from jobs()


def run(bench: Bench, jobs: Iterator[Job]) -> None:
    """Run the jobs that are asked for, save and print each result."""
    surroundings = programs.surroundings(bench.programs)
    warm: Path | None = None
    for name, source, job in jobs:
        if bench.options.resume and name in bench.results.cases:
            continue
        if warm != source:  # each corpus is read once before it is measured
            read_all(source)
            warm = source
        case = job()
        described = corpora.describe(source.name, source.parent)
        known = {key: described.get(key) for key in ("files", "bytes", "made_up")}
        bench.results.put(name, {**case, "corpus_holds": known}, surroundings)
        print(report.as_text(report.TABLES[case["kind"]]([case])).partition("\n")[2], flush=True)


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", metavar="NAMES", help=f"all, or of {','.join(corpora.MAKERS)}; or directories")
    parser.add_argument("--codecs", metavar="NAMES", help=f"such as {CODECS}")
    parser.add_argument("--peers", default="mksquashfs", choices=["mksquashfs"], help="whom to compare with")
    for name, what in (
        ("pack", "pack with both (the default)"),
        ("floor", "pack, and the codec alone"),
        ("unpack", "unpack with imgcore and unsquashfs"),
        ("reads", "random reads by several readers, and how quickly commands start"),
        ("cache", "rebuild with --cache"),
        ("everything", "all of these and --scale"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=what)
    parser.add_argument("--scale", metavar="COUNTS", nargs="?", const=SCALE, help=f"pack so many small files ({SCALE})")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 1 that is slow to 7 that are quick")
    parser.add_argument("--jobs", "-j", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--block-size", "-b", type=int, default=128 << 10, metavar="BYTES")
    parser.add_argument("--no-verify", action="store_true", help="do not compare the images with their sources")
    parser.add_argument("--resume", action="store_true", help="leave out what is in the results already")
    parser.add_argument("--json", type=Path, default=PLACE / "results.json", metavar="FILE", help="the results")
    parser.add_argument("--show", action="store_true", help="measure nothing: print what is in the results")
    parser.add_argument("--write-docs", action="store_true", help="measure nothing: write the results into docs/performance.md")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    parser.add_argument("--corpora", type=Path, default=PLACE, metavar="DIR", help="where the corpora are")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where images are written; default: beside the corpora")
    parser.add_argument("--imgcore", type=shlex.split, default=[sys.executable, "-m", "imgcore"], metavar="COMMAND")
    parser.add_argument("--mksquashfs", metavar="PROGRAM", help="default: that of IMGCORE_NEWEST_ORACLES, or the system's")
    parser.add_argument("--unsquashfs", metavar="PROGRAM")
    options = parser.parse_args()
    if (options.rounds is not None and options.rounds < 1) or options.jobs < 1:
        parser.error("rounds and jobs are at least 1")
    try:
        for text in (options.codecs or CODECS).split(","):
            Codec.parse(text)
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    for name in (options.corpus or "all").split(","):
        if name != "all" and name not in corpora.MAKERS and not Path(name).is_dir():
            parser.error(f"no such corpus or directory: {name}")
    if options.show or options.write_docs:
        return options
    options.mksquashfs = programs.find("mksquashfs", options.mksquashfs) or parser.error("mksquashfs is not installed")
    options.unsquashfs = programs.find("unsquashfs", options.unsquashfs)
    if options.unpack and not options.unsquashfs:
        parser.error("unsquashfs is not installed")
    return options


def main() -> int:
    """Do what the command line says."""
    options = arguments()
    results = Results(options.json)
    if options.write_docs:
        docs.write(results, ROOT / "docs" / "performance.md")
    elif not options.show:
        measure(options, results)
    for table in report.tables(results):
        print((report.as_markdown if options.markdown else report.as_text)(table))
    return 0


def measure(options: argparse.Namespace, results: Results) -> None:
    """Run all that is asked for."""
    scratch_in = options.scratch or options.corpora
    scratch_in.mkdir(parents=True, exist_ok=True)
    found = Programs(options.imgcore, options.mksquashfs, options.unsquashfs, options.jobs, options.block_size)
    print(f"{programs.first_line(found.mksquashfs, '-version')}: {found.mksquashfs}", flush=True)
    with tempfile.TemporaryDirectory(dir=scratch_in, prefix="scratch-") as scratch:
        bench = Bench(options, Runner(Path(scratch)), found, results)
        packing.warm_up(bench.runner, found)
        run(bench, bench.jobs())


if __name__ == "__main__":
    sys.exit(main())
