"""The memory XLA's compiler leaves behind."""

from __future__ import annotations

import ctypes


def give_back() -> bool:
    """Returns freed memory to the system where the C library can (glibc); says whether it did.

    A compiler allocates and frees tens of megabytes in small pieces, and glibc keeps their pages until asked. That takes
    about 20 ms, once per program. There is no Python API for it.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # another C library, or Windows
        return False
    return bool(trim(0))
