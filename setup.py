"""The part of the packaging that is no data: the README as a package index shows it, without the picture of the repository."""

import re
from pathlib import Path

import setuptools

README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")

setuptools.setup(
    long_description=re.sub(r"<!-- picture: begin -->.*?<!-- picture: end -->\n+", "", README, flags=re.DOTALL),
    long_description_content_type="text/markdown",
)
