"""How long things take, always as a ratio to the same thing done otherwise in the same run: `python -m bench`."""
