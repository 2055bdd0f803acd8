"""The steps: one module per subject, each a few wanted states as data and pure functions.

Nothing here talks to a machine. A module imports `steps` (and its siblings) only; a contract in CI guards that.
"""
