"""The documentation: texts, what is generated from the library, and the site that `python -m docs` makes of both."""
