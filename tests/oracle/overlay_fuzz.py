"""Random stacks of layers through Linux and through our merge: `python -m tests.oracle.overlay_fuzz --stacks 20000 --seed 1`.

Needs root. Every stack is made on a tmpfs, mounted and walked; our view of the same directories has to be the same: names
in the order of readdir, metadata, attributes, link counts, contents, errors. A stack in which two directories of the upper
layer claim one lower directory, or a file the content of another one that is seen by itself, is set aside and counted:
what Linux shows of it (ESTALE, among others) depends on what was looked at before. Of what differs, the smallest stack that
still does is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgcore.transforms.overlay import problems
from tests.kit.overlay_stacks import Spec, View, kernel_view, make_layers, merge_spec, our_view, random_spec, read_layers
from tests.kit.overlay_writes import Outcome, held, kernel_run, our_run, random_sequence


@dataclass
class Result:
    stacks: int = 0
    paths: int = 0
    stale: int = 0
    refused: int = 0
    different: int = 0


@contextlib.contextmanager
def tmpfs() -> Iterator[None]:
    """Work in a new tmpfs. Raises CalledProcessError without root."""
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", place], check=True)
        try:
            os.chdir(place)
            yield
        finally:
            os.chdir(home)
            subprocess.run(["umount", "-l", place], check=True)


def compare(spec: Spec) -> tuple[View | str, View | str]:
    """Return what Linux and what we see of a stack; works in the current directory."""
    names = make_layers(spec)
    theirs = kernel_view(spec)
    return theirs, our_view(spec, read_layers(names))


def is_stale(view: View | str) -> bool:
    return isinstance(view, dict) and "EESTALE" in view.values()


def is_unsettled(spec: Spec, theirs: View | str, ours: View | str) -> bool:
    """Whether the views differ at paths only that claim one lower file: what Linux shows is who was looked at first."""
    if isinstance(theirs, str) or isinstance(ours, str):
        return False
    merged = merge_spec(spec, read_layers(make_layers(spec)))
    claimed = [one.path.decode() for one in problems(merged) if one.rule == "inconsistent"]
    wrong = [key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key)]
    return all(key.rstrip("/") in claimed for key in wrong)


def differs(spec: Spec) -> bool:
    """Whether Linux mounts a stack and shows something else than we do."""
    theirs, ours = compare(spec)
    return isinstance(theirs, dict) and theirs != ours and not is_stale(theirs) and not is_unsettled(spec, theirs, ours)


def shrink(spec: Spec) -> Spec:
    """Return a smaller stack that differs too, from which nothing more can be left out."""
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(spec):
            if differs(smaller):
                spec, changed = smaller, True
                break
    return spec


def _smaller(spec: Spec) -> Iterator[Spec]:
    for key in ("lowers", "data"):
        for number in range(len(spec[key])):
            made = copy.deepcopy(spec)
            del made[key][number]
            if made["lowers"]:
                yield made
    if spec["upper"] is not None:
        yield {**copy.deepcopy(spec), "upper": None}
    for layer in (
        *(("lowers", n) for n in range(len(spec["lowers"]))),
        *(("data", n) for n in range(len(spec["data"]))),
        ("upper", None),
    ):
        for path in _places(_layer(spec, layer)):
            made = copy.deepcopy(spec)
            node = _layer(made, layer)
            for name in path[:-1]:
                node = node["ch"][name] if name in node.get("ch", {}) else node
            del node["x" if path[-1] in node["x"] else "ch"][path[-1]]
            yield made


def _layer(spec: Spec, layer: tuple[str, int | None]) -> Spec:
    found: Spec = spec[layer[0]] if layer[1] is None else spec[layer[0]][layer[1]]
    return found if found is not None else {"x": {}, "ch": {}}


def _places(node: Spec, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, child in node.get("ch", {}).items():
        yield (*above, name)
        yield from _places(child, (*above, name))
    for name in node["x"]:
        yield (*above, name)


def fuzz(first: int, count: int, report: bool = True) -> Result:
    """Compare the stacks of `count` seeds from `first` on."""
    result = Result()
    with tmpfs():
        for seed in range(first, first + count):
            spec = random_spec(seed)
            theirs, ours = compare(spec)
            result.stacks += 1
            result.refused += isinstance(theirs, str)
            result.paths += len(theirs) if isinstance(theirs, dict) else 0
            if is_stale(theirs) or (theirs != ours and is_unsettled(spec, theirs, ours)):
                result.stale += 1
            elif theirs != ours:
                result.different += 1
                if report:
                    show(spec if isinstance(theirs, str) else shrink(spec))
    return result


def show(spec: Spec) -> None:
    """Print a stack and where the two views of it differ."""
    theirs, ours = compare(spec)
    print(f"stack {spec}")
    if isinstance(theirs, str) or isinstance(ours, str):
        print(
            f"  Linux {theirs if isinstance(theirs, str) else 'mounts it'}, we {ours if isinstance(ours, str) else 'merge it'}"
        )
        return
    for key in sorted({*theirs, *ours}):
        if theirs.get(key) != ours.get(key):
            print(f"  {key}: Linux {theirs.get(key)}\n  {' ' * len(key)}     we {ours.get(key)}")


def compare_writes(spec: Spec) -> tuple[Outcome | str, Outcome | str]:
    """Return what Linux and what we make of a sequence of calls; works in the current directory."""
    trees = {name: held(tree) for name, tree in read_layers(make_layers(spec)).items()}
    theirs = kernel_run(spec)
    said = [] if isinstance(theirs, str) else theirs[0]
    return theirs, our_run(spec, trees, [one == "skipped" for one in said] or [False] * len(spec["calls"]))


def is_unsettled_sequence(outcome: Outcome | str) -> bool:
    return not isinstance(outcome, str) and "ESTALE" in outcome[0]


def shrink_writes(spec: Spec) -> Spec:
    """Return a shorter sequence on a smaller stack, of which the outcomes still differ."""
    changed = True
    while changed:
        changed = False
        calls = ({**spec, "calls": spec["calls"][:at] + spec["calls"][at + 1 :]} for at in range(len(spec["calls"])))
        for smaller in itertools.chain(calls, _smaller(spec)):
            if smaller["upper"] is None:
                continue
            theirs, ours = compare_writes(smaller)
            if theirs != ours and not is_unsettled_sequence(theirs):
                spec, changed = smaller, True
                break
    return spec


def fuzz_writes(first: int, count: int, report: bool = True) -> Result:
    """Compare the sequences of `count` seeds from `first` on; `paths` counts the calls that succeeded."""
    result = Result()
    with tmpfs():
        for seed in range(first, first + count):
            spec = random_sequence(seed)
            theirs, ours = compare_writes(spec)
            result.stacks += 1
            if isinstance(theirs, str):
                result.refused += 1
            else:
                result.paths += theirs[0].count("ok")
            if is_unsettled_sequence(theirs):
                result.stale += 1
            elif theirs != ours:
                result.different += 1
                if report:
                    show_writes(shrink_writes(spec))
    return result


def show_writes(spec: Spec) -> None:
    """Print a sequence and where the two outcomes of it differ."""
    theirs, ours = compare_writes(spec)
    print(f"sequence {spec}")
    if isinstance(theirs, str) or isinstance(ours, str):
        print(f"  Linux {theirs}\n     we {ours}")
        return
    for call, one, two in zip(spec["calls"], theirs[0], ours[0], strict=True):
        print(f"  {call}: {one}" if one == two else f"  {call}: Linux {one}, we {two}")
    for key in sorted({*theirs[1], *ours[1]}):
        if theirs[1].get(key) != ours[1].get(key):
            print(f"  {key}: Linux {theirs[1].get(key)}\n  {' ' * len(key)}     we {ours[1].get(key)}")


def main() -> int:
    """Run as the module says; return 1 when anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=int, default=2000)
    parser.add_argument("--writes", type=int, help="compare that many sequences of writes, and no stacks")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("mounting needs root")
    if arguments.writes is not None:
        result = fuzz_writes(arguments.seed, arguments.writes)
        print(
            f"{result.stacks} sequences, {result.paths} calls done, {result.refused} refused by mount,"
            f" {result.stale} set aside, {result.different} differences"
        )
        return 1 if result.different else 0
    result = fuzz(arguments.seed, arguments.stacks)
    print(
        f"{result.stacks} stacks, {result.paths} paths, {result.refused} refused by mount, {result.stale} set aside,"
        f" {result.different} differences"
    )
    return 1 if result.different else 0


if __name__ == "__main__":
    assert Path("tests").is_dir(), "run it from the top of the checkout"
    sys.exit(main())
