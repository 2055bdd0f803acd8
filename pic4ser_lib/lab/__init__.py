"""The rehearsal lab: a small data centre of containers on this machine, with one mirror and no way out."""
