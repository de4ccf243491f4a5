"""Tables of results, as text and as Markdown.

A ratio is ours / theirs, so below 1 imgcore needs less; `0.31 (0.30-0.33)` are the median of all rounds and the range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.results import Case, Results

Table = tuple[str, list[str], list[list[str]]]

# What the pack times are to reach: ratios of wall times for two processors; see docs/performance.md.
GOALS = {
    "gzip": {"big": 0.18, "small": 0.35, "mixed": 0.18, "dup": 0.15},
    "zstd:3": {"big": 1.00, "small": 0.50, "mixed": 0.80, "dup": 0.60},
    "zstd:15": {"big": 1.00, "small": 0.85, "mixed": 1.00, "dup": 0.45, "tiny": 1.00},
    "lz4": {"big": 1.00, "small": 0.50, "mixed": 0.90, "dup": 0.60},
    "xz": {"big": 1.00, "small": 0.95, "mixed": 1.00, "dup": 0.45},
}
FLOORS = {
    "big": {"lz4": 1.5, "": 1.15},
    "small": {"lz4": 2.2, "zstd:3": 2.2, "": 1.6},
}
MOST_MEMORY_MIB, MEMORY_RATIO = 256, 0.5


def spread(row: dict[str, float]) -> str:
    """Return a ratio with its range."""
    return f"{row['ratio']:.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})"


def _mark(good: bool) -> str:
    return "met" if good else "MISSED"


def _both(row: dict[str, float], digits: int = 2) -> list[str]:
    return [f"{row['ours']:.{digits}f}", f"{row['theirs']:.{digits}f}"]


def pack_table(cases: Sequence[Case]) -> Table:
    """Return the table of packing."""
    rows = []
    for case in cases:
        found = case["summary"]
        wall, cpu, peak, size = (found[name] for name in ("wall_s", "cpu_s", "peak_mib", "size_mib"))
        goal = GOALS.get(case["codec"], {}).get(case["corpus"])
        missed = [
            *(["time"] if goal is not None and round(wall["ratio"], 2) > goal else []),
            *(["size"] if round(size["ratio"], 4) > 1 else []),
            *(["memory"] if peak["ours"] > MOST_MEMORY_MIB or peak["ratio"] > MEMORY_RATIO else []),
        ]
        rows.append(
            [
                case["corpus"],
                case["codec"],
                *_both(wall),
                spread(wall),
                "" if goal is None else f"{goal:.2f}",
                f"{cpu['ratio']:.2f}",
                *_both(peak, 0),
                f"{size['ratio']:.4f}",
                str(case["rounds"]),
                "missed: " + ", ".join(missed) if missed else "met",
            ]
        )
    head = ["corpus", "codec", "ours s", "theirs s", "wall ratio", "goal", "CPU ratio", "ours MiB", "theirs MiB", "size ratio"]
    return "Packing: imgcore and mksquashfs", [*head, "rounds", "goals"], rows


def pair_table(title: str, ours: str, theirs: str, goal: float) -> Callable[[Sequence[Case]], Table]:
    """Return what makes a table of wall times with one goal; a case may name its own."""

    def table(cases: Sequence[Case]) -> Table:
        rows = []
        for case in cases:
            wall, peak = case["summary"]["wall_s"], case["summary"]["peak_mib"]
            most = case.get("goal", goal)
            numbers = [*_both(wall), spread(wall), f"{most:.2f}", *_both(peak, 0), str(case["rounds"])]
            rows.append([case["corpus"], case["codec"], *numbers, _mark(round(wall["ratio"], 2) <= most)])
        head = ["corpus", "what", f"{ours} s", f"{theirs} s", "wall ratio", "goal", f"{ours} MiB", f"{theirs} MiB"]
        return title, [*head, "rounds", "goals"], rows

    return table


def floor_table(cases: Sequence[Case]) -> Table:
    """Return the table of the floor."""
    rows = []
    for case in cases:
        wall, goals = case["summary"]["wall_s"], FLOORS.get(case["corpus"], {})
        goal = goals.get(case["codec"], goals.get("", 0.0))
        texts = (
            [f"{goal:.2f}", str(case["rounds"]), _mark(round(wall["ratio"], 2) <= goal)]
            if goal
            else ["", str(case["rounds"]), ""]
        )
        blocks = f"{case['blocks']} of {case['block_bytes'] / 1e6:.0f} MB"
        rows.append([case["corpus"], case["codec"], blocks, *_both(wall), spread(wall), *texts])
    head = ["corpus", "codec", "blocks", "ours s", "floor s", "ratio", "goal", "rounds", "goals"]
    return "The floor: the codec alone, in a bare loop of C", head, rows


def startup_table(cases: Sequence[Case]) -> Table:
    """Return the table of what has to be quick."""
    rows = []
    for case in cases:
        times = sorted(1000 * run for run in case["runs"])
        median = times[len(times) // 2]
        goal = case["goal_ms"]
        rows.append([case["what"], f"{median:.0f}", f"{times[0]:.0f}-{times[-1]:.0f}", f"{goal:.0f}", _mark(median <= goal)])
    return "Start-up", ["what", "ms", "range", "goal", "goals"], rows


def reads_table(cases: Sequence[Case]) -> Table:
    """Return the table of random reads."""
    rows = [
        [case["corpus"], case["codec"], row["name"], row["version"], f"{row['seconds']:.2f}", f"{row['ratio']:.2f}"]
        for case in cases
        for row in case["rows"]
    ]
    head = ["image of", "codec", "reader", "version", "s", "imgcore / it"]
    return "10,000 reads of 4 KiB at random places", head, rows


def scale_table(cases: Sequence[Case]) -> Table:
    """Return the table of growth."""
    rows = []
    for case in cases:
        for row in case["rows"]:
            rows.append(
                [
                    row["tree"],
                    case["side"],
                    f"{row['wall_s']:.2f}",
                    f"{1e6 * row['wall_s'] / row['files']:.1f}",
                    f"{row['peak_mib']:.0f}",
                    f"{1024 * row['peak_mib'] / row['files']:.2f}",
                ]
            )
        for name, fit in case["fits"].items():
            text = f"{name} = {fit['at_0']:.3g} + {fit['per_million']:.3g} per million"
            rows.append([f"fit: {text}", case["side"], f"r2 {fit['r2']:.5f}", f"worst {fit['worst']:+.1%}", "", ""])
    return "Growth", ["tree", "side", "s", "us a file", "MiB", "KiB a file"], rows


TABLES: dict[str, Callable[[Sequence[Case]], Table]] = {
    "pack": pack_table,
    "floor": floor_table,
    "unpack": pair_table("Unpacking: imgcore and unsquashfs", "ours", "theirs", 0.80),
    "cache": pair_table("Rebuilding with --cache, and mksquashfs", "ours", "theirs", 1.00),
    "reads": reads_table,
    "startup": startup_table,
    "scale": scale_table,
}


def tables(results: Results, kinds: Sequence[str] = tuple(TABLES)) -> list[Table]:
    """Return the tables for which there are results."""
    return [TABLES[kind](results.of(kind)) for kind in kinds if results.of(kind)]


def as_text(table: Table) -> str:
    """Return a table in columns."""
    title, head, rows = table
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
    return "\n".join([title, *lines]) + "\n"


def as_markdown(table: Table) -> str:
    """Return a table in Markdown."""
    title, head, rows = table
    lines = [head, ["---"] * len(head), *rows]
    return f"### {title}\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in lines) + "\n"
