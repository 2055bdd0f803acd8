"""The tests that the lab's own programs bring in their own language."""

from __future__ import annotations

import os
import subprocess

import pytest

from pic4ser_lib.lab import cache, golang, pins


@pytest.mark.parametrize("program", ["stand-ins", "nfs-provisioner"])
def test_a_programs_own_tests_pass(program: str) -> None:
    go = golang.toolchain(pins.load().golang["go"])
    env = {**os.environ, **golang.environment(cache.root()), "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    done = subprocess.run([go, "test", "./..."], cwd=pins.SOURCES / program, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
