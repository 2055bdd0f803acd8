"""How often something is asked that has to come about by itself."""

from __future__ import annotations


def rest(took: float, *, least: float) -> float:
    """Seconds until it is asked again, after an answer that took `took`: at least `least`.

    Who takes long to answer is busy, with the very thing that is waited for: two thirds of its time are left to it.
    """
    return max(least, 2 * took)
