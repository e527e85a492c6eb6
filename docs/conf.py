"""Sphinx: `python -m sphinx -W docs docs/_build`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import kagent

project = "kagent"
author = "kagent contributors"
version = release = kagent.__version__
extensions = ["myst_parser", "sphinx_copybutton", "docs.pages"]
exclude_patterns = ["_build", "notes"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_copyright = False
html_title = f"kagent {version}"
