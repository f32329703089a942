"""The site: guide, references and architecture. `make docs` builds it, and warnings are errors."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "python_ctypes")]

from rds import __version__  # noqa: E402

project = "librds"
version = release = __version__
html_title = f"librds {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "links"]
exclude_patterns = ["guide/programs"]
if not (ROOT / "include" / "rds.hpp").exists():
    exclude_patterns.append("reference/cpp.md")

# Docstrings are NumPy's style.
default_role = "name"
napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
# Modules of the package are for those of others, and some classes derive from theirs.
autodoc_mock_imports = ["dask", "pyarrow", "ray", "torch"]
# The docstrings say the types.
autodoc_typehints = "none"
add_module_names = False
python_use_unqualified_type_names = True
highlight_language = "text"

html_theme = "furo"
html_show_sourcelink = False
html_copy_source = False
