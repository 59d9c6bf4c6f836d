"""Requests to the kernel or the C library: to end with the parent process, give memory back, open more files."""

import ctypes
import resource
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)
M_MMAP_THRESHOLD = -3  # mallopt(3)
_libc = ctypes.CDLL(None)


def die_with_parent(kind: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when its parent ends, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, kind)


def give_back_blocks(size: int) -> None:
    """Have blocks of at least `size` bytes returned to the kernel as soon as they are freed.

    glibc does so with large blocks too, but only until it has freed the first one: from then on each thread keeps
    those of up to 32 MiB for itself (mallopt(3), M_MMAP_THRESHOLD).
    """
    _libc.mallopt(M_MMAP_THRESHOLD, size)


def allow_open_files(count: int) -> int:
    """Let this process, and those that it starts, each open so many files and sockets; return how many they may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    allowed = count if hard == resource.RLIM_INFINITY else min(count, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
