"""What a compiler leaves behind goes back to the system."""

import ctypes
import platform
import subprocess
import sys

from kagent.learning import malloc_trim

PROGRAM = """
from kagent.learning import malloc_trim as heap
def resident():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
pieces = [bytearray(3000) for _ in range(20_000)]
last = bytearray(3000)  # the pieces are not at the top of the heap: glibc would return those by itself
full = resident()
del pieces
kept = resident()
assert heap.give_back()
print(full, kept, resident())
"""


def test_freed_memory_goes_back():
    if platform.libc_ver()[0] != "glibc":
        assert malloc_trim.give_back() is False
        return
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    full, kept, after = map(float, said.split())
    assert full - kept < 20 and full - after > 40


def test_where_there_is_no_such_call_nothing_happens(monkeypatch):
    class Without:
        def __init__(self, name):
            assert name is None

    monkeypatch.setattr(ctypes, "CDLL", Without)
    assert malloc_trim.give_back() is False
