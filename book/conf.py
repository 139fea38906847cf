"""Configuration of Sphinx for the book; `make book` runs it through book/build.py, once for each language."""

import os
import sys
from importlib.resources import files
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from book_site.search_words import SearchBilingual  # noqa: E402

import minillm_lib  # noqa: E402

language = os.environ.get("BOOK_LANGUAGE", "en")
chinese = language.startswith("zh")

project = "从主题模型到语言模型" if chinese else "From topic models to language models"
author = "The minillm-lib authors"
copyright = "The minillm-lib authors, MIT licence"
version = release = minillm_lib.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "book_site.extension",
]
templates_path = [str(HERE / "templates")]

# notebooks and Markdown
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath", "attrs_block", "attrs_inline", "deflist"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
suppress_warnings = ["myst.header", "misc.copy_overwrite"]

# the reference
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
add_module_names = False
python_use_unqualified_type_names = True
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
viewcode_line_numbers = True

# Chinese edition: message catalogues, one per page
locale_dirs = [str(HERE / "locale")]
gettext_compact = False
gettext_uuid = False
gettext_location = False
smartquotes_excludes = {"languages": [], "builders": ["man", "text"]}  # much of the edition is English

# the site
html_theme = "furo"
html_title = project
html_static_path = [str(HERE / "static")]
html_css_files = ["book.css"]
html_js_files = [("scrolling.js", {"defer": "defer"})]
html_copy_source = False
html_domain_indices = False  # "All modules" of the reference says more
html_show_sphinx = False
html_search_language = "en"
html_show_search_summary = False  # summaries are fetched, which browsers refuse to files
html_permalinks_icon = "#"
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#1f5f99", "color-brand-content": "#1f5f99"},
    "dark_css_variables": {"color-brand-primary": "#7fb8ea", "color-brand-content": "#7fb8ea"},
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "language.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

# mathematics: MathJax comes with a Python package, and is copied into the site
MATHJAX = files("sphinx-mathjax-offline") / "static" / "mathjax"
mathjax_path = "mathjax/tex-chtml.js"
mathjax_options = {"async": "async"}  # a page can be read and clicked before it is there
mathjax3_config = {
    "options": {"enableMenu": False},
    "chtml": {"displayAlign": "center"},
    "tex": {"tags": "none"},
}

copybutton_exclude = ".linenos, .gp, .go"

# Address of the repository on GitHub, such as https://github.com/OWNER/NAME; without it, there are no links to Colab.
book_repository = os.environ.get("BOOK_REPOSITORY", "")


def setup(app):
    """Register the search for both languages."""
    app.add_search_language(SearchBilingual)
