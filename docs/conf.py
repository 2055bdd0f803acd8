"""How Sphinx makes the site. `python -m docs` puts the pages together first and runs it on the result."""

project = "PIC4SeR cluster runbook"
author = "PIC4SeR"
copyright = author
html_title = project

extensions = ["myst_nb", "sphinx.ext.autodoc"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "static"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_fence_as_directive = []
# Notebooks are shown with the outputs that are committed: a site of what has been run, not one that runs things.
nb_execution_mode = "off"
nb_merge_streams = True
nb_remove_code_outputs = False
# Everything that the pages refer to has to be there; what is outside is not fetched. The types in a signature are
# named in full, but have no pages of their own.
nitpicky = True
nitpick_ignore_regex = [("py:(class|data|obj|exc)", ".*")]

# Two hyphens are an option of a command, and never a dash.
smartquotes = False
# Docstrings name code in single backticks, as Markdown does.
default_role = "code"
add_module_names = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None
pygments_style = "friendly"
