"""What a file of an agent is, read before anything of it is built: `kagent.inspect`."""

from kagent.inspection.inspection import Inspection, inspect

__all__ = ["Inspection", "inspect"]
