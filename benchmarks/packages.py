"""RPMs unpacked, side by side with rpm2cpio and cpio in one run: `benchmarks/packages.py [--size 245M] [--dir DIR]`.

The package is made by rpmbuild of files of this machine, in every compression named; `--size` is that of the package as it
is, 100 MB unless said, so that a compressed one unpacks to about 250 MB. Both unpack into an empty directory of
the same file system, from the page cache, in turns; a ratio is that of one round. imgcore compares every digest of the
package meanwhile, which cpio does not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from imgcore.limits import parse_size

PAYLOADS = {"gzip": "w6.gzdio", "xz": "w2.xzdio", "zstd": "w3.zstdio", "none": "w.ufdio"}
SHRINK = {"gzip": 2.3, "xz": 2.7, "zstd": 2.4, "none": 1.0}  # what to begin with: how much smaller files become
NEAR = 0.1  # a package that is so much larger or smaller than it should be is made anew
SPEC = """
Name: bench
Version: 1
Release: 1
Summary: files of this machine
License: MIT
AutoReqProv: no
%description
Files.
%install
cp -r {source} %{{buildroot}}
%files
/data
"""


def collected(place: Path, size: int) -> Path:
    """Return a directory that has a `data` with files of this machine, of about `size` bytes."""
    data = place / "source/data"
    data.mkdir(parents=True)
    total = 0
    for number, path in enumerate(sorted(Path("/usr/lib").rglob("*"))):
        if path.is_file() and not path.is_symlink() and total + path.stat().st_size <= size:
            shutil.copyfile(path, data / f"{number:06}")
            total += path.stat().st_size
    return data.parent


def built(place: Path, source: Path, payload: str) -> Path:
    """Return the package of a directory."""
    (place / "a.spec").write_text(SPEC.format(source=f"{source}/data"))
    defines = {"_topdir": place / payload, "_rpmdir": place / payload, "_binary_payload": payload}
    defines |= {"__os_install_post": "%{nil}", "debug_package": "%{nil}", "_build_id_links": "none"}
    words = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
    spec = (place / "a.spec").read_text().replace("cp -r", "mkdir -p %{buildroot}\ncp -r")
    (place / "a.spec").write_text(spec)
    (place / payload / "BUILD").mkdir(parents=True)
    subprocess.run(["rpmbuild", "-bb", place / "a.spec", *words], check=True, capture_output=True)
    return next((place / payload).rglob("*.rpm"))


def sized(place: Path, size: int, payload: str) -> Path:
    """Return a package of about `size` bytes."""
    shrink = SHRINK[payload]
    for _ in range(3):
        shutil.rmtree(place, ignore_errors=True)
        unpacked = int(size * shrink)
        package = built(place, collected(place, unpacked), PAYLOADS[payload])
        if abs(package.stat().st_size / size - 1) <= NEAR:
            break
        shrink = unpacked / package.stat().st_size
    return package


def timed(command: list[str], target: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Unpack into `target`, which is removed before; return seconds, and MiB of the largest process."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Run as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=parse_size, default=100 * 10**6, help="of the package, in bytes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--payloads", default=",".join(PAYLOADS))
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=said.dir) as name:
        place = Path(name)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(place / "cache")  # as of an installed package
        for payload in said.payloads.split(","):
            package = sized(place / "package", said.size, payload)
            ours, theirs = place / "ours", place / "theirs"
            pipe = f"cd {shlex.quote(str(theirs))} && rpm2cpio {shlex.quote(str(package))} | cpio -idm --quiet"
            imgcore = [sys.executable, "-m", "imgcore", "unpack", "-q", "--force", str(package), str(ours)]
            ratios, seconds, memory = [], [], 0.0
            timed(imgcore, ours, environment)
            unpacked = sum(path.stat().st_size for path in ours.rglob("*") if path.is_file())
            for _ in range(said.rounds):
                one, used = timed(imgcore, ours, environment)
                other, _ = timed(["sh", "-c", pipe], theirs, environment)
                ratios.append(one / other)
                seconds.append((one, other))
                memory = max(memory, used)
            middle = [statistics.median(column) for column in zip(*seconds, strict=True)]
            print(
                f"{payload}: {package.stat().st_size / 1e6:.0f} MB, {unpacked / 1e6:.0f} MB unpacked,"
                f" imgcore {middle[0]:.2f} s with {memory:.0f} MiB,"
                f" rpm2cpio | cpio {middle[1]:.2f} s, ratio {statistics.median(ratios):.2f}"
                f" ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )
            package.unlink()


if __name__ == "__main__":
    main()
