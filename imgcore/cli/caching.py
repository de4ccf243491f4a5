"""What `--cache` names: a directory, a URL, or both, the directory in front.

A URL without a directory gets one of its own in the user's cache directory, so that a machine fetches each block once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from imgcore.cli.command import Run
from imgcore.cli.system import user_cache
from imgcore.errors import ImgcoreError
from imgcore.events import Warned
from imgcore.store.base import BlockStore

__all__ = ["open_caches"]


@contextlib.contextmanager
def open_caches(run: Run, places: Sequence[str], size: int | None) -> Iterator[BlockStore | None]:
    """Give the store of all `places`, None without any; `size` is the limit of a directory.

    Raises ValueError for flags that do not go together, OutputError, SourceUnreadable.
    """
    if not places:
        if size is not None:
            raise ValueError("--cache-size is for --cache")
        yield None
        return
    from imgcore.store import LayeredStore  # late: few have a store

    store = LayeredStore(_stores(run, places, size))
    try:
        yield store
    except BaseException:
        store.close(wait=False)
        raise
    told = store.warnings()
    store.close()
    for warning in store.warnings():
        if warning not in told:
            run.output.warn(Warned(warning))


def _stores(run: Run, places: Sequence[str], size: int | None) -> list[BlockStore]:
    """Return the stores in the order in which they are asked."""
    from imgcore.store import LocalStore, RemoteStore
    from imgcore.store.local import DEFAULT_LIMIT
    from imgcore.store.remote import is_url

    limit = DEFAULT_LIMIT if size is None else size
    urls = [place for place in places if is_url(place)]
    dirs = [place for place in places if not is_url(place)]
    if max(len(urls), len(dirs)) > 1:
        raise ValueError("--cache takes one directory and one URL")
    remotes: list[BlockStore] = [RemoteStore(url) for url in urls]
    if dirs:
        return [LocalStore(dirs[0], limit=limit), *remotes]
    own = user_cache()
    if own is not None:
        # By URL: who can write to one remote has no say in what is built with another.
        from hashlib import sha256  # late: OpenSSL takes a while to load

        path = os.path.join(own, "imgcore", f"blocks-{sha256(urls[0].encode('utf-8', 'surrogateescape')).hexdigest()[:16]}")
        try:
            return [LocalStore(path, limit=limit), *remotes]
        except ImgcoreError as error:
            run.output.warn(Warned(f"cache: no directory in front of the URL: {error}"))
    return remotes
