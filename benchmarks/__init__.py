"""Speed of kagent side by side with its peers: `python -m benchmarks.speed` (see benchmarks/speed.py)."""
