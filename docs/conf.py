"""The configuration of the documentation: `make docs` builds it into build/docs, to be read from the file system.

pages (Markdown, notebook) and docstrings --Sphinx--> build/docs/index.html, build/docs/llms.txt

Every file that a page needs is in the build. The theme brings its fonts and icons. Mathematics is preformatted text, so
that no page asks for MathJax, which Sphinx would load from a network; `make docs` fails if a page loads anything.
"""

import sys
from pathlib import Path

import causalign

sys.path.append(str(Path(__file__).parent / "_extensions"))

project = "causalign"
author = "The causalign maintainers"
project_copyright = author
version = release = causalign.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "myst_nb",
    "attributes",
    "docstring_tables",
    "llms_text",
    "plain_types",
    "site_signature",
]
exclude_patterns = ["_extensions", "_templates", "examples", "figures", "images"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links to headings are those that GitHub makes
smartquotes_action = "De"  # no quotation marks: primes of equations and shapes in types are none
nb_execution_mode = "off"  # the tests run the notebook; its stored outputs are shown

# In docstrings, single backticks hold code. What is the name of an object becomes a link to it. A name without an entry
# is no error (`nitpicky`): most are types of torch and numpy, whose inventories would have to come from a network.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "exclude-members": "model_config"}
autosummary_generate = True
autosummary_filename_map = {  # a function and a class of one name are one file on some file systems
    f"causalign.{name}": f"causalign.{name}-class"
    for name in causalign.__all__
    if name != name.lower() and name.lower() in causalign.__all__
}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Main arguments", "params_style"), ("Other Arguments", "params_style")]
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"causalign {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "causalign"},
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "show_prev_next": True,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "performance": [], "gallery": []}

linkcheck_timeout = 20
linkcheck_retries = 2
