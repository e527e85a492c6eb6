"""The Sphinx extension: writes the generated pages before Sphinx reads the sources.

python -m docs.pages            # writes them without a build: docs/api/ and docs/algorithms/, which git ignores
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


def write(folder: Path, pages: dict[str, str]) -> None:
    """Writes the pages that have changed, and deletes what is no page any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def generate(app: Any = None) -> None:
    """Writes the pages of the API and of the algorithms."""
    from docs import algorithm_pages, reference  # here: they import TensorFlow

    write(ROOT / "api", reference.pages())
    write(ROOT / "algorithms", algorithm_pages.pages())


def setup(app: Any) -> dict[str, Any]:
    """Sphinx's hook."""
    app.connect("builder-inited", generate)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    generate()
