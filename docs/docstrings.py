"""Docstrings as Markdown: prose stays, sections become lists, examples become blocks."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

_HEADER = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Example|Examples):$")
_TITLES = {"Args": "Arguments", "Yields": "Yields", "Examples": "Example"}
_ITEM = re.compile(r"(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): +(\S.*)$")
_OWN_LINE = re.compile(r"\s*(?:[-*+] |\d{1,2}\. |\|)")  # bullets and rows of tables
_CODE = re.compile(r"(`[^`]*`)")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
_NAME = re.compile(r"`(kagent(?:\.\w+)+)`")


def markdown(doc: str | None) -> str:
    """A docstring as Markdown.

    Args:
        doc: As it stands in the source; None: there is none.
    """
    parts = [_section(name, lines) for name, lines in _sections(doc)]
    return "\n\n".join(part for part in parts if part)


def arguments(doc: str | None) -> dict[str, str]:
    """The texts of a docstring's "Args", by name."""
    items = [item for name, lines in _sections(doc) if name == "Args" for item in _items(lines)]
    return {name: text for names, text in items for name in names}


def description(doc: str | None) -> str:
    """What stands before the first section, as Markdown."""
    first = next(iter(_sections(doc)), (None, []))
    return _prose(first[1]) if first[0] is None else ""


def examples(doc: str | None) -> str:
    """The examples of a docstring, as Markdown."""
    return "\n\n".join(_prose(lines) for name, lines in _sections(doc) if name in ("Example", "Examples"))


def summary(doc: str | None) -> str:
    """The first sentence, for a cell of a table."""
    paragraph = description(doc).partition("\n\n")[0].replace("\n", " ")
    found = re.match(r"(.*?[^\d.]\.)(?= [A-Z`]|$)(?<!et al\.)(?<!e\.g\.)", paragraph)
    return (found.group(1) if found else paragraph).replace("|", "\\|")


def _sections(doc: str | None) -> Iterator[tuple[str | None, list[str]]]:
    name: str | None = None
    lines: list[str] = []
    for line in inspect.cleandoc(doc or "").splitlines():
        header = _HEADER.match(line)
        over = name not in (None, "Example", "Examples") and line and not line.startswith(" ")
        if header or over:
            yield name, lines
            name, lines = (header.group(1), []) if header else (None, [line])
        else:
            lines.append(line)
    yield name, lines


def _section(name: str | None, lines: list[str]) -> str:
    if name is None:
        return _prose(lines)
    title = f"**{_TITLES.get(name, name)}**"
    if name in ("Example", "Examples"):
        return f"{title}\n\n{_prose(lines)}"
    if name in ("Returns", "Yields"):
        return f"{title}\n\n{_prose(_dedented(lines))}"
    rows = []
    for names, text in _items(lines):
        given = ", ".join(f"`{one}`" for one in names)
        rows.append(f"- {given}: {text}" if given else f"- {text}")
    return f"{title}\n\n" + "\n".join(rows) if rows else ""


def _items(lines: list[str]) -> Iterator[tuple[list[str], str]]:
    """The entries of a section: their names, none where an entry is a sentence, and their text on one line."""
    names: list[str] = []
    text: list[str] = []
    for line in _dedented(lines):
        found = None if line.startswith(" ") else _ITEM.match(line)
        if found and text:
            yield names, _plain(" ".join(text))
        if found:
            names, text = found.group(1).split(", "), [found.group(2)]
        elif line:
            text.append(line.strip())
    if text:
        yield names, _plain(" ".join(text))


def _dedented(lines: list[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).splitlines()


def _prose(lines: list[str]) -> str:
    blocks: list[list[str]] = [[]]
    fenced = False
    for line in lines:
        if line.strip().startswith("```"):
            if not fenced:
                blocks.append([])
            blocks[-1].append(line)
            if fenced:
                blocks.append([])
            fenced = not fenced
        elif line.strip() or fenced:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    made = [_block(block) for block in blocks if block]
    text = ""
    for before, block in zip(["", *made], made):
        # An example that goes on behind a blank line is one block; so is indented text.
        together = (
            before[:1] == block[:1] == "`"
            and before.startswith("```")
            and before.partition("\n")[0] == block.partition("\n")[0]
        )
        if together:
            text = text.removesuffix("\n```") + "\n\n" + block.partition("\n")[2]
        else:
            text += ("\n\n" if text else "") + block
    return text


def _block(lines: list[str]) -> str:
    if lines[0].lstrip().startswith("```"):
        return textwrap.dedent("\n".join(lines))
    if lines[0].lstrip().startswith(">>>"):
        return "```pycon\n" + textwrap.dedent("\n".join(lines)) + "\n```"
    if all(line.startswith("    ") for line in lines):
        return "```text\n" + "\n".join(line[4:].replace("`", "") for line in lines) + "\n```"
    joined: list[str] = []
    for line in lines:
        if joined and not _OWN_LINE.match(line):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line.rstrip())
    for index in range(len(joined) - 1, 0, -1):  # a list or table begins behind a blank line
        if _OWN_LINE.match(joined[index]) and not _OWN_LINE.match(joined[index - 1]):
            joined.insert(index, "")
    return "\n".join(_plain(line) for line in joined)


def _plain(text: str) -> str:
    """A line with its links, and without what Markdown would take for HTML or emphasis."""
    text = _NAME.sub(r"{py:obj}`\1`", text)
    parts = _CODE.split(text)
    for index in range(0, len(parts), 2):
        bullet = re.match(r"\s*[-*+] ", parts[index]) if index == 0 else None
        start = bullet.end() if bullet else 0
        escaped = re.sub(r"(?<!\*)\*(?!\*)|<(?=[A-Za-z/])", r"\\\g<0>", parts[index][start:])
        parts[index] = parts[index][:start] + _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", escaped)
    return "".join(parts)


def cell(value: Any) -> str:
    """A text for a cell of a table."""
    return str(value).replace("\n", " ").replace("|", "\\|")
