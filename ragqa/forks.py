"""Locks that survive a fork: a child gets a copy of every lock, but not the threads that hold them."""

import os
from threading import Lock


def lock_across_forks() -> Lock:
    """Return a lock that is free in a forked child: a fork waits until no other thread holds it.

    For module-level locks only, since Python keeps what is registered for forks forever.
    """
    lock = Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock
