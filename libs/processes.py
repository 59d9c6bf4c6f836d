"""Processes and their parents."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None)


def die_with_parent(kind: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send this process a signal when its parent ends, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, kind)
