"""Law of the project's English: no banned words and openings in docstrings, comments, messages and docs.

`python tests/docs/test_language.py [PATH …]` lists all offences.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "ganforge/**/*.py",
    "ganforge/**/*.py.template",
    "plugins/*/ganforge_*/**/*.py",
    "plugins/*/tests/**/*.py",
    "tests/**/*.py",
    "examples/**/*.py",
    "README.md",
    "docs/**/*.md",
    "plugins/*/README.md",
)

#: Banned words, as regular expressions, and the words to write instead.
BANNED = {
    r"heed(?:s|ed|ing)?": "report, or follow",
    r"anew": "again",
    r"shall": "must, or the present tense",
    r"who(?:so)?ever": "the user, or the author",
    r"nobody|somebody": "the passive voice",
    r"beside": "next to",
    r"go(?:es)? on|going on|went on": "continue, or resume",
    r"so many": "the number, or 'as many'",
    r"(?:hear|say|tell|ask)(?:s|ing)?|heard|said|told|asked": "report, return, request, or print",
    r"in words": "as text",
    r"set(?:s|ting)? aside": "skip",
    r"persons?": "user",
    r"of one's own": "own, or custom",
    r"as it is": "unchanged",
    r"(?:come|comes|coming|came) to": "reach, or equal",
    r"(?<!there )(?:(?-i:is none)|(?:is|are) no)(?! (?:longer|more)\b)": "is not a …, or invalid …",
    r"another than": "other than",
    r"where (?:there|none|no|nothing|one|several|some|that)": "if, or when",
    r"\w*colour\w*|grey\w*|\w*behaviour\w*|\w*neighbour\w*|centred?|artefacts?|catalogues?|licences?|data sets?"
    r"|analys(?:e|ed|es|ing)|label(?:led|ling)|modell(?:ed|ing)"
    r"|(?:re|un|de)?(?:optim|normal|initial|serial|recogn|general|summar|organ)is(?:e[drs]?|ing|ations?)": (
        "American spelling"
    ),
}
WORDS = {
    re.compile(
        rf"\b(?:{pattern})(?!\w)".replace("(?<!there ", r"(?<!there\s").replace(" ", r"\s+"), re.IGNORECASE
    ): f"write {advice}"
    for pattern, advice in BANNED.items()
}
#: Clauses that a sentence must not begin with, unless it is a question.
CLAUSE = re.compile(r"(?:What|Whatever|Whoever|Which|Whichever|Where|Of|How|Whose|Who|From)\b")
#: Openings that a module or a class must not have, since it is a noun phrase.
NO_NOUN = re.compile(
    r"(?:Whether|Hold|Hear|Say|Tell|Ask|Know|Carry|Decide|Keep|Give|Make|Read|Write|Return|Blame|Refuse|Collect|"
    r"Compute|Take|Pass|Serve|Add|Learn|Interrupt|Do|Choose|Let)\b"
)
SENTENCE = re.compile(r"(?:\A|(?<=[.!?]\s)|(?<=\n\n)|(?<=\n[-*] ))\s*(?P<text>[^\s.][^.?!]*[.?!]?)")
#: Code within prose, which may have any words.
CODE = re.compile(r"```.*?```|``[^`]+``|`[^`\n]+`|<!--.*?-->|\]\([^)]*\)|https?://\S+|</?[a-z][^>\n]*>", re.DOTALL)
DIRECTIVE = re.compile(r"(?:noqa|type: ?ignore|fmt|pragma)\b[^#]*?(?=#| - |$)")


class Passage(NamedTuple):
    """Text of a file.

    Attributes:
        line: Its first line.
        text: Its lines.
        is_noun: Whether it describes a module or a class.
        has_sentences: Whether the openings of its sentences are checked.
    """

    line: int
    text: str
    is_noun: bool = False
    has_sentences: bool = True


class Offence(NamedTuple):
    """Banned words at a line, with advice."""

    line: int
    text: str
    advice: str


def offences(passages: Iterator[Passage]) -> Iterator[Offence]:
    """Yield the banned words and openings of passages."""
    for passage in passages:
        prose = CODE.sub(lambda code: re.sub(r"[^\n]", "·", code[0]), passage.text)
        matches = [
            (match.start(), match[0], advice) for pattern, advice in WORDS.items() for match in pattern.finditer(prose)
        ]
        if passage.is_noun and (match := NO_NOUN.match(prose)):
            matches.append((0, match[0], "begin with a noun"))
        for sentence in SENTENCE.finditer(prose) if passage.has_sentences else ():
            text = sentence["text"]
            if CLAUSE.match(text) and not text.endswith("?"):
                matches.append((sentence.start("text"), text, "begin with a noun"))
        for start, text, advice in sorted(matches):
            yield Offence(passage.line + prose.count("\n", 0, start), " ".join(text.split())[:60], advice)


def passages(file: Path) -> Iterator[Passage]:
    """Return the prose of a file: all of Markdown; docstrings, comments and messages of Python.

    Strings of tests are data, not messages.
    """
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return iter([Passage(1, source)])
    if file.suffix == ".template":
        source = re.sub(r"\$\{?(\w+)\}?", r"\1", source)
    return python(source, has_messages="tests" not in file.parts[len(ROOT.parts) :])


def python(source: str, *, has_messages: bool = True) -> Iterator[Passage]:
    """Yield the docstrings, the comments and the messages of a program."""
    docstrings = set()
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        body = getattr(node, "body", None)
        for number, statement in enumerate(body if isinstance(body, list) else ()):
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                docstring = statement.value
                if isinstance(docstring.value, str):
                    docstrings.add(docstring)
                    is_noun = number == 0 and isinstance(node, ast.Module | ast.ClassDef)
                    yield Passage(docstring.lineno, docstring.value, is_noun)
    for node in nodes if has_messages else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield Passage(node.lineno, node.value, has_sentences=False)
    yield from comments(source)


def comments(source: str) -> Iterator[Passage]:
    """Yield the comments of a program; adjacent lines are one passage."""
    blocks: list[tuple[int, list[str]]] = []
    end: tuple[int, str | None] = (0, None)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, mark = token.start[0], token.string[:2] if token.line.lstrip().startswith("#") else ""
            if (line, mark) != end:
                blocks.append((line, []))
            blocks[-1][1].append(DIRECTIVE.sub("", token.string.lstrip("#: ")).lstrip("-# "))
            end = (line + 1, mark or None)
    yield from (Passage(line, "\n".join(lines)) for line, lines in blocks)


def sources(*prefixes: str) -> list[Path]:
    """Return all files with prose, or those below prefixes, sorted."""
    files = sorted({file for pattern in SOURCES for file in ROOT.glob(pattern)})
    return [file for file in files if not prefixes or str(file).startswith(prefixes)]


def report(file: Path) -> list[str]:
    """Return the offences of a file as `path:line: 'text': advice`."""
    name = file.relative_to(ROOT)
    return [f"{name}:{line}: {text!r}: {advice}" for line, text, advice in offences(passages(file))]


def fixes(source: str) -> Iterator[tuple[int, str]]:
    """Yield the fixes of a program's errors, arguments and constants, each with its line; values in them are `…`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword):
            name, value = node.arg or "", node.value
        elif isinstance(node, ast.Assign):
            name, value = ast.unparse(node.targets[0]), node.value
        else:
            continue
        if re.search(r"(?:^|_)(?:fix|hint)(?:es)?$", name.casefold()):
            yield from ((text.lineno, _text(text)) for text in _texts(value))


def _texts(value: ast.expr) -> Iterator[ast.expr]:
    """Yield the texts that an expression may have as its value."""
    if isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        yield value
    elif isinstance(value, ast.BoolOp):
        yield from (text for operand in value.values for text in _texts(operand))
    elif isinstance(value, ast.IfExp):
        yield from (*_texts(value.body), *_texts(value.orelse))
    elif isinstance(value, ast.Dict):
        yield from (text for item in value.values for text in _texts(item))


def _text(node: ast.expr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def is_clause(fix: str) -> bool:
    """Return whether a fix has the form of all: one clause or several, without a capital and a period."""
    return re.match(r"[A-Z](?![A-Z]|\w*[(_])", fix) is None and re.search(r"\. [A-Z]|\S\.$", fix) is None


def test_prose_has_no_banned_words_and_openings() -> None:
    """No file has offences."""
    lines = [line for file in sources() for line in report(file)]
    assert not lines, "\n".join(lines)


def test_fixes_have_one_form() -> None:
    """The line after an arrow begins with a small letter, has no period, and separates its parts by semicolons."""
    files = [file for file in sources() if file.suffix == ".py" and "tests" not in file.parts[len(ROOT.parts) :]]
    lines = [
        f"{file.relative_to(ROOT)}:{line}: {fix}"
        for file in files
        for line, fix in fixes(file.read_text(encoding="utf-8"))
        if not is_clause(fix)
    ]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ('UsageError("x", fix="Pass --data.path")', ["Pass --data.path"]),
        ('FIX = "copy it again."', ["copy it again."]),
        ('Remote(fix=f"put {x} there. Or leave it out" if x else None)', ["put … there. Or leave it out"]),
        ('fix = x or "Check it"', ["Check it"]),
        ('PATH_FIXES = {1: "Choose another"}', ["Choose another"]),
        ('E(fix="RGB pictures have colors"); E(fix="ImageSpec(3, 8, 8) has"); E(fix="pip install .")', []),
    ],
)
def test_fixes_of_another_form_are_found(source: str, wrong: list[str]) -> None:
    """Capitals, periods and second sentences are found in arguments, constants and alternatives; names are allowed."""
    assert [fix for _, fix in fixes(source) if not is_clause(fix)] == wrong


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""What a run writes."""', ["What a run writes."]),
        ('"""Hold settings."""', ["Hold"]),
        ('class A:\n    """Whether it trains."""', ["Whether"]),
        (
            'def f():\n    """Return x. Where it is no number, return 0."""',
            ["Where it is no number, return 0.", "is no"],
        ),
        ('x = 1\n"""Number that a person\n\nsets anew."""', ["person", "anew"]),
        ("x = 1  # noqa: E501 - as the user\n# has said\n#: How many.", ["said", "How many."]),
        ('raise ValueError(f"{x} is none, of normalised data\\n sets")', ["is none", "normalised", "data sets"]),
    ],
)
def test_offences_are_found(source: str, expected: list[str]) -> None:
    """Docstrings, comments and messages are searched, also across the ends of their lines."""
    assert sorted(offence.text for offence in offences(python(source))) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    [
        '"""Number of steps. Is it None? What is `anew` for?"""',
        'def f():\n    """Return whether there is no file, or it is no longer needed."""',
        "shall = anew.beside  # type: ignore[attr-defined]  # a test",
        'class A:\n    """Dataset where x is the sum."""',
    ],
)
def test_clean_prose_has_no_offences(source: str) -> None:
    """Names, code within prose, questions and None are not offences."""
    assert not list(offences(python(source)))


if __name__ == "__main__":
    for path in sources(*(str(Path(word).resolve()) for word in sys.argv[1:])):
        sys.stdout.writelines(f"{line}\n" for line in report(path))
