"""The record of a run: one file of JSON lines per notebook process, chained by hashes, with secrets left out.

Each line ends with the SHA-256 of the line before it and of its own text, so an edit that is not followed by
recomputing everything below shows. A seal over the last hashes and counts of all journals of a run, kept elsewhere
(the terminal's scrollback, an email), shows any edit.
"""

from pic4ser_lib.journal.chain import Head, State, Verdict, verify, verify_bytes
from pic4ser_lib.journal.sealing import seal, seal_of, verify_run, write_run
from pic4ser_lib.journal.secrets import REDACTED, redacted, register_secret
from pic4ser_lib.journal.writing import Journal, JournalFailed

__all__ = [
    "REDACTED",
    "Head",
    "Journal",
    "JournalFailed",
    "State",
    "Verdict",
    "redacted",
    "register_secret",
    "seal",
    "seal_of",
    "verify",
    "verify_bytes",
    "verify_run",
    "write_run",
]
