"""The batch: notebooks by papermill, each in a process of its own, watched, recorded and reported."""
