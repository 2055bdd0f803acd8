"""What is generated for the site: pure functions from the library, the notebooks and the sites to Markdown."""
