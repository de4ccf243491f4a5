"""`imgcore cache info|prune DIR|URL`: what is in a cache of compressed blocks, and making room in it."""

from __future__ import annotations

import dataclasses
import datetime

import click

from imgcore.cli.command import SIZE, Run, verb
from imgcore.cli.output import human
from imgcore.store import CacheInfo, LocalStore, RemoteStore
from imgcore.store.remote import is_url

__all__ = ["command"]

_DAY = 86400


@verb(
    "cache",
    "show or prune a cache of compressed blocks",
    examples=(
        "imgcore cache info ~/.cache/images",
        "imgcore cache prune --max-size 2G --older-than 30 ~/.cache/images",
        "imgcore cache prune --older-than 90 s3://bucket/images",
    ),
)
@click.argument("action", type=click.Choice(["info", "prune"]))
@click.argument("directory", type=click.Path(file_okay=False), metavar="DIR|URL")
@click.option(
    "--max-size", type=SIZE, metavar="SIZE", help="prune: keep the objects used last, of at most SIZE bytes together."
)
@click.option(
    "--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="prune: remove what was not used for DAYS days."
)
@click.option("--all", "everything", is_flag=True, help="prune: remove all objects.")
def command(
    run: Run, action: str, directory: str, max_size: int | None, older_than: float | None, everything: bool
) -> int | None:
    """Say how much is in the cache that `imgcore pack --cache` fills, or remove some of it.

    Without flags, `prune` removes what builds that were killed left behind, once it is an hour old. It may run beside
    builds. At a URL, what was made first counts as not used for longest.
    """
    if action == "info":
        if max_size is not None or older_than is not None or everything:
            raise click.UsageError("--max-size, --older-than and --all are for prune")
        _show(run, "info", directory, _open(directory).info())
        return None
    if everything and (max_size is not None or older_than is not None):
        raise click.UsageError("--all leaves nothing for --max-size or --older-than")
    seconds = None if older_than is None else older_than * _DAY
    limit = 0 if everything else max_size
    _show(run, "prune", directory, _open(directory).prune(limit=limit, older_than=seconds))
    return None


def _open(place: str) -> LocalStore | RemoteStore:
    if not is_url(place):
        return LocalStore(place, create=False)
    try:
        return RemoteStore(place)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _show(run: Run, action: str, directory: str, found: CacheInfo) -> None:
    if run.output.as_json:
        run.output.event("cache", {"action": action, "directory": directory, **dataclasses.asdict(found)})
        return
    verb = "removed " if action == "prune" else ""
    run.output.line(f"{verb}{found.objects} objects, {human(found.bytes)}; {found.unfinished} unfinished")
    if found.oldest is not None and found.newest is not None:
        how = "made" if is_url(directory) else "last used"
        run.output.line(f"{how} from {_date(found.oldest)} to {_date(found.newest)}")


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).isoformat(" ", "minutes")
