"""Where a first run ends that nobody disturbed: the lab as the notebooks have just left it is what is committed."""

from __future__ import annotations

from cluster_outside import differing
from final_state import committed, whole


def test_it_ends_as_committed(may_boot: None) -> None:
    assert differing(committed(), whole()) == []
