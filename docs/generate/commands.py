"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from docs.generate.markdown import anchor, block, heading, page, plain

_INTRODUCTION = """\
Results go to standard output, progress to standard error.
The exit code is 0 when all is proven, 1 when something failed, and 130 after Ctrl-C.
It is 2 when the command or the site is wrong; then nothing was touched.
A command that was stopped goes on from there when it is given again.
Each one explains itself with `--help`."""


def leaves(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all that are below it, with the words by which each is called."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from leaves(command.commands[name], (*path, name))


def reference(command: click.Command, name: str) -> str:
    """The whole page."""
    return page("The command line", _INTRODUCTION, *(_section(*each) for each in leaves(command, (name,))))


def _section(path: tuple[str, ...], command: click.Command) -> str:
    words = " ".join(path)
    context = click.Context(command, info_name=words)
    sentence, _, example = (command.help or "").partition("Example: ")
    usage = f"{words} {' '.join(command.collect_usage_pieces(context))}"
    return "\n\n".join([
        heading(f"`{words}`", level=2, anchor=anchor("command", *path)),
        plain(sentence),
        block(usage, "text"),
        *(_parameter(each, context) for each in command.params),
        *(["For example:", block(example, "sh")] if example else []),
    ])  # fmt: skip


def _parameter(parameter: click.Parameter, context: click.Context) -> str:
    """An option or an argument as the term of a definition."""
    if isinstance(parameter, click.Option):
        written, said = parameter.get_help_record(context) or ("", "")
        return f"`{written}`\n: {plain(said)}"
    meant = f": then it is {parameter.default}" if isinstance(parameter.default, str) and parameter.default else ""
    said = "Has to be given." if parameter.required else f"May be left out{plain(meant)}."
    return f"`{parameter.human_readable_name}`\n: {said}"
