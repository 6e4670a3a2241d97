"""How the site is built; ``make docs`` does."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]
# The fits on the pages are small, and threads only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import skgat  # noqa: E402 - after the path is set

project = "skgat"
author = "The skgat developers"
project_copyright = author
release = version = skgat.__version__

extensions = [
    "mathml",
    "myst_parser",
    "numpydoc",
    "run_code",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.duration",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "_templates", "auto_examples/*.ipynb", "sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "code"
toc_object_entries_show_parents = "hide"
nitpicky = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
math_renderer = html_math_renderer = "mathml"

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
maximum_signature_line_length = 80
add_module_names = False

copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "backreferences_dir": "_generated/backreferences",
    "doc_module": ("skgat",),
    "reference_url": {"skgat": None},
    "abort_on_example_error": False,
    "download_all_examples": False,
    "parallel": 2,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "within_subsection_order": "ExampleTitleSortKey",
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skgat"
html_static_path = ["_static"]
html_css_files = ["skgat.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "skgat"},
    "header_links_before_dropdown": 7,
    "navbar_align": "left",
    "show_prev_next": True,
    "show_toc_level": 2,
    "secondary_sidebar_items": {"**": ["page-toc"], "benchmarks": []},  # its tables are wide
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}


def _skip_request_methods(app, what, name, obj, skip, options):
    """Leave out what scikit-learn adds to every class for metadata routing."""
    return True if name.startswith("set_") and name.endswith("_request") else skip


def setup(app):
    """Register the hooks with Sphinx."""
    app.connect("autodoc-skip-member", _skip_request_methods)
