"""Sphinx: `python -m sphinx -W docs docs/_build`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import kagent

# Tutorials run in processes of their own, in folders of their own.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (sys.path[0], os.environ.get("PYTHONPATH"))))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # several of them side by side

project = "kagent"
author = "kagent contributors"
version = release = kagent.__version__
extensions = ["myst_nb", "sphinx_copybutton", "docs.pages"]
exclude_patterns = ["_build", "notes", "jupyter_execute"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds of a cell
nb_execution_raise_on_error = True  # a cell that fails ends the build
nb_merge_streams = True  # what a cell prints is one block
nb_output_stderr = "remove"  # TensorFlow's start-up lines
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_theme = "furo"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["wide.css"]
html_show_copyright = False
html_title = f"kagent {version}"
