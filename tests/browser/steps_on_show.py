"""Small steps that notebooks in the browser run on a real node; copied beside them."""

from pic4ser_lib.steps import Refused, Run, Shell, Step, WriteFile

FOLDER = "/run/pic4ser-browser"


class Written(Step):
    """A file of ours is there; making it takes so many seconds."""

    name, wanted = "show.written", "the file is there"

    def __init__(self, name: str, seconds: int = 0) -> None:
        self.path, self.seconds = f"{FOLDER}/{name}", seconds

    def probe(self) -> Shell:
        return Shell(f"mkdir -p {FOLDER}; cat {self.path} 2>/dev/null || true")

    def parse(self, raw: str) -> str:
        return raw

    def actions(self, seen: str) -> list:
        if seen.strip() == "so":
            return []
        wait = [Run(f"sleep {self.seconds}")] if self.seconds else []
        return [*wait, WriteFile(self.path, "so\n")]


class Forbidden(Step):
    """What must not be done blindly."""

    name, wanted = "show.forbidden", "the node belongs to nobody else"

    def probe(self) -> Shell:
        return Shell("true")

    def parse(self, raw: str) -> str:
        return raw

    def actions(self, seen: str) -> list:
        raise Refused(self.wanted, "a node of another cluster", "Drain it there first.")
