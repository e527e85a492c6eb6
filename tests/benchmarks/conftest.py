"""The benchmarks run from the project's folder, uninstalled: their tests add it to the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
