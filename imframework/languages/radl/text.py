"""The text form: from RADL text to a `Document`.

The grammar (terminals in capitals or quotes; repetition in braces, options in brackets):

    document      = { description | network | ansible | system | configure | contextualize | deploy } ;
    description   = "description" NAME [ group ] ;                     (* at most one, before everything else *)
    network       = "network" NAME [ group ] ;                         (* without a group: a reference *)
    ansible       = "ansible" NAME group ;
    system        = "system" NAME [ group ] ;
    configure     = "configure" NAME [ "(" [ RECIPE ] ")" ] ;
    deploy        = "deploy" NAME NUMBER [ NAME | JSON_TEXT ] ;        (* the last one is a cloud id *)
    contextualize = "contextualize" [ NUMBER ] "(" { option } { item } ")" ;
    option        = "option" NAME OPERATOR ( TEXT | JSON_TEXT | NUMBER ) ;
    item          = "system" NAME "configure" NAME [ "step" NUMBER | "with" NAME ] ;

    group         = "(" [ feature { "and" feature } ] ")" ;
    feature       = "soft" NUMBER group
                  | NAME "contains" group
                  | NAME OPERATOR ( NUMBER [ NAME ] | TEXT | JSON_TEXT | list | group ) ;
    list          = "[" [ TEXT { "," TEXT } ] "]" ;                    (* JSON_TEXT stands for TEXT here too *)

    NAME          an ASCII letter, "_" or ".", then letters, digits, "_", ".", "-"; not a keyword
    NUMBER        [ "-" ] digits [ "." [ digits ] ]
    TEXT          in single quotes; a backslash keeps the next character from ending it
    JSON_TEXT     "@" and a JSON string
    OPERATOR      "=" | "<" | ">" | "<=" | ">="
    RECIPE        "@begin", anything, "@end" at the start of a line

Spaces, tabs, carriage returns, line breaks and comments (`#` to the end of the line) separate tokens. JSON_TEXT, a
group after an operator and the sign of a number are additions to the common language, there so that everything the
JSON form can say has a text.

One regular expression finds the next token; one method per rule reads it. Nothing is kept but the current token, so
memory is that of the result and time is linear. Contradictions and duplicates are collected on the way; after a
syntax error reading goes on where `recovery` says, so that one answer names them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Final, NoReturn, TypeVar

from imframework.api.errors import InvalidDocument, Problem
from imframework.languages.radl.document import (
    AnsibleNode,
    Configure,
    Contextualize,
    ContextualizeItem,
    Deploy,
    Description,
    Document,
    Network,
    System,
)
from imframework.languages.radl.features import (
    OPERATORS,
    Bound,
    Collection,
    Feature,
    Features,
    Group,
    Number,
    Soft,
    Text,
    TextList,
)
from imframework.languages.radl.lexical import (
    JSON_TEXT_PATTERN,
    KEYWORDS,
    MAX_DEPTH,
    MAX_NUMBER_LENGTH,
    MAX_PROBLEMS,
    NAME_PATTERN,
    PARAMETER,
    TEXT_PATTERN,
    random_length,
    random_text,
    shortened,
    text_problem,
    unquote,
    unquote_json,
)
from imframework.languages.radl.reading import Reading
from imframework.languages.radl.recovery import Next, Place, after_feature, after_item, after_sentence
from imframework.languages.radl.units import is_representable

_UPPER_CASE_AND = re.compile(r"(?<![\w.\-])(AND|And)\s+\Z")
#: What `text_problem` finds.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

# Kinds of tokens; keywords, operators and punctuation are their own kind.
NAME, TEXT, JSON_TEXT, NUMBER, BEGIN, END = "name", "text", "json text", "number", "@begin", "end"

#: So many characters of a sentence are looked through for a text without closing quote.
MAX_LOOK_BACK: Final = 100_000

# The last alternative takes any other character, so that matches follow each other without gaps.
_TOKEN = re.compile(
    rf"""
    (?: [ \t\r\n]++ | \# [^\n]*+ )*+
    (?: ({NAME_PATTERN})
      | ([=()\[\],] | [<>]=?+)
      | ({TEXT_PATTERN})
      | (-?[0-9]++(?:\.[0-9]*+)?+)
      | ({JSON_TEXT_PATTERN})
      | (@begin)
      | (\Z)
      | (.)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_NAME_GROUP, _PUNCTUATION_GROUP, _TEXT_GROUP, _UNKNOWN_GROUP = 1, 2, 3, 8
_KINDS: Final = ("", NAME, "", TEXT, NUMBER, JSON_TEXT, BEGIN, END, "")
_SENTENCES = ("description", "network", "ansible", "system", "configure", "contextualize", "deploy")
_COMPARATORS = frozenset(OPERATORS)


#: A sentence that names an aspect, as far as the name.
_HEAD = re.compile(rf"(network|ansible|system|configure)[ \t\r\n]+({NAME_PATTERN})")


def parse(text: str) -> Document:
    """The document that `text` says.

    An empty text, or one of comments only, is an empty document. Raises InvalidDocument for syntax errors, duplicate
    ids, and features that contradict each other; whether names exist and values make sense is for `check` to say.
    """
    reading = read(text)
    if reading.problems:
        raise InvalidDocument(reading.problems)
    return reading.document


def read(text: str) -> Reading:
    """What can be understood of `text`, and every problem that `parse` would raise."""
    wrong = text_problem(text)
    if wrong:
        before = _UNSTORABLE.split(text, maxsplit=1)[0]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Reading(Document(), (Problem(f"the document {wrong}", line, column, kind="syntax"),), lost=True)
    parser = _Parser(text.removeprefix("\ufeff"))  # a byte order mark, left by editors
    try:
        parser.read_document()
    except _Enough:
        parser.lost = True
    return Reading(parser.document, tuple(parser.problems), frozenset(parser.partial), parser.lost)


_Aspect = TypeVar("_Aspect", AnsibleNode, Network, System, Configure)
_CLASS_NAMES: Final = {AnsibleNode: "ansible", Network: "network", System: "system", Configure: "configure"}


class _Enough(Exception):  # not an error: the list of problems is long enough
    """Reading ends because further problems would not help anybody."""


class _Parser:
    """Recursive descent with one token in hand: its `kind` and `value`, and the `match` that found it."""

    __slots__ = (
        "_counted_to",
        "_depth",
        "_line",
        "_line_start",
        "_matches",
        "_resume",
        "_resumed",
        "_sentence",
        "at_beginning",
        "document",
        "garbled",
        "given_up",
        "kind",
        "lost",
        "match",
        "partial",
        "problems",
        "text",
        "value",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.document = Document()
        self.problems: list[Problem] = []
        self.kind = ""
        self.value = ""
        self.match: re.Match[str]
        self._matches = _TOKEN.finditer(text)
        self.at_beginning = True  # nothing but a description was read yet
        self._depth = 0
        self._sentence = 0  # where the sentence being read starts
        self._resumed = -1  # where reading was taken up again last
        self._resume: int | None = None  # from where on recovery looks, if not from the token in hand on
        #: After an error nothing more of the sentence could be made out: what is in hand belongs to the next one.
        self.given_up = False
        #: The value read last was not meant as it was understood.
        self.garbled = False
        #: See `Reading`.
        self.partial: set[tuple[str, str]] = set()
        self.lost = False
        self._counted_to = 0
        self._line = 1
        self._line_start = 0

    # --- tokens

    def advance(self) -> None:
        """Take the next token in hand."""
        self.match = match = next(self._matches)
        group = match.lastindex or _UNKNOWN_GROUP  # never None: every alternative is a group
        self.value = value = match[group]
        if group == _NAME_GROUP:
            self.kind = value if value in KEYWORDS else NAME
        elif group == _PUNCTUATION_GROUP:
            self.kind = value
        elif group == _UNKNOWN_GROUP:
            self.refuse_character()
        else:
            self.kind = _KINDS[group]

    @property
    def start(self) -> int:
        """Where the token in hand starts."""
        return self.match.start(self.match.lastindex or 0)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset not before the last one asked for: each line break is counted once."""
        breaks = self.text.count("\n", self._counted_to, offset)
        if breaks:
            self._line += breaks
            self._line_start = self.text.rfind("\n", self._counted_to, offset) + 1
        self._counted_to = offset
        return self._line, offset - self._line_start + 1

    def take(self, kind: str, expected: str, hint: str = "") -> str:
        """The value of the token in hand, which must be of that kind; the next one is taken in hand."""
        if self.kind != kind:
            self.refuse(expected, hint)
        value = self.value
        self.advance()
        return value

    def take_name(self, expected: str) -> str:
        if self.kind != NAME:
            self.refuse(expected, self.name_hint())
        value = self.value
        self.advance()
        return value

    def take_number(self, expected: str) -> int | float:
        number = self.number_in_hand(expected)
        self.advance()
        return number

    def take_whole_number(self, what: str) -> int:
        number = self.number_in_hand(f"the {what}, a number")
        if isinstance(number, float):
            message = f"the {what} must be a whole number, not {shortened(self.value)}"
            self.note(Problem(message, *self.position(self.start), "wrong-type"))
            number = 0
        self.advance()
        return number

    def number_in_hand(self, expected: str) -> int | float:
        if self.kind != NUMBER:
            self.refuse(expected, self.number_hint())
        literal = self.value
        number = 0 if len(literal) > MAX_NUMBER_LENGTH else float(literal) if "." in literal else int(literal)
        if len(literal) > MAX_NUMBER_LENGTH or not is_representable(number):
            self.stop(f"a number of {len(literal)} characters is too large", kind="wrong-value")
        return number

    def take_text(self) -> str:
        """The content of the text in hand, in either notation."""
        if self.kind == TEXT:
            text = unquote(self.value)
        else:
            try:
                text = unquote_json(self.value)
            except ValueError:
                self.stop("what follows @ is not a JSON string")
            wrong = text_problem(text)
            if wrong:
                self.stop(f"a text {wrong}")
        self.advance()
        return text

    # --- problems

    def note(self, problem: Problem) -> None:
        """Note a problem that does not keep us from reading on."""
        last = self.problems[-1] if self.problems else None
        place = (problem.kind, problem.line, problem.column)
        if last is not None and last.kind == "syntax" and (last.kind, last.line, last.column) == place:
            return  # one mistake seen from two sides
        self.problems.append(problem)
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Enough

    def stop(self, message: str, hint: str = "", *, kind: str = "syntax") -> NoReturn:
        """Give up at the token in hand, or at the text before it whose closing quote is missing."""
        opening = self.unclosed_text() if kind == "syntax" else None
        if opening is None:
            raise InvalidDocument(Problem(message, *self.position(self.start), kind, hint))
        self._resume = opening + 1
        self.garbled = True
        self.rewind()
        message = "this text has no closing quote in its line"
        raise InvalidDocument(Problem(message, *self.position(opening), kind, "a quote inside a text is written \\'"))

    def unclosed_text(self) -> int | None:
        """Where the text right before the token in hand starts, if it goes over lines and was not meant to end here.

        Without its closing quote, a text ends at the opening quote of the next one, whose content then is in hand.
        """
        start = self.start
        if self.kind == END or self.text[start - 1 : start] != "'" or start - self._sentence > MAX_LOOK_BACK:
            return None
        for match in _TOKEN.finditer(self.text, max(self._sentence, self._resumed)):
            if match.end() >= start:
                is_text = match.end() == start and match.lastindex == _TEXT_GROUP
                return match.start(_TEXT_GROUP) if is_text and "\n" in match[_TEXT_GROUP] else None
        return None

    # --- recovery

    def fail(self, error: InvalidDocument) -> int:
        """Note why a part of a sentence cannot be read; from where on to look for what can be read again."""
        resume = self.start if self._resume is None else self._resume
        self._resume = None
        head = _HEAD.match(self.text, self._sentence)
        if head is not None:
            self.partial.add((head[1], head[2]))
        for problem in error.problems:
            self.note(problem)
        return resume

    def resume(self, place: Place) -> None:
        """Go on there, with `advance`."""
        if place.offset <= self._resumed:
            raise _Enough  # however it came to that, reading on would go in circles
        self._resumed = place.offset
        if place.next in (Next.SENTENCE, Next.END):
            self.given_up = True
        self._matches = _TOKEN.finditer(self.text, place.offset)
        self.rewind()

    def rewind(self) -> None:
        """Count lines from the beginning again: the next position may be before the last."""
        self._counted_to, self._line, self._line_start = 0, 1, 0

    def keep_name(self) -> None:
        """Enter the aspect whose sentence could not be read, so that others can refer to it."""
        head = _HEAD.match(self.text, self._sentence)
        if head is None or head[2] in KEYWORDS:
            unnamed = ("deploy", "contextualize", "description", ")")
            self.lost = self.lost or not self.text.startswith(unnamed, self._sentence)
            return
        kind, id = head[1], head[2]
        match kind:
            case "network":
                self.document.networks.setdefault(id, Network(id, reference=True))
            case "ansible":
                self.document.ansibles.setdefault(id, AnsibleNode(id))
            case "system":
                self.document.systems.setdefault(id, System(id, reference=True))
            case _:
                self.document.configures.setdefault(id, Configure(id, reference=True))

    def refuse(self, expected: str, hint: str = "") -> NoReturn:
        """Give up because the token in hand is not what the grammar allows here."""
        self.stop(f"unexpected {self.in_hand()}, expected {expected}", hint or self.other_language_hint())

    def in_hand(self) -> str:
        """The token in hand in words; texts are not shown, they may be secrets."""
        if self.kind == END:
            return "end of the text"
        if self.kind == TEXT or self.kind == JSON_TEXT:
            return "text in quotes"
        if self.kind == NAME or self.kind == NUMBER:
            return f"{self.kind} '{shortened(self.value)}'"
        return f"keyword '{self.kind}'" if self.kind in KEYWORDS else f"'{self.kind}'"

    def refuse_character(self) -> NoReturn:
        """Give up because what is in hand is no token."""
        self.kind = ""
        start, character = self.start, self.value
        message, hint = f"unexpected character {character!r}", ""
        if parameter := PARAMETER.match(self.text, start):
            message = f"the parameter {parameter[0]} has no value"
            hint = "replace parameters before sending the document"
        elif character == "'":
            self._resume = start + 1
            message, hint = "this text has no closing quote", "a quote inside a text is written \\'"
        elif character in '"`´‘’“”':
            hint = "texts are written in single quotes: 'text'"
        elif self.text.startswith("@end", start):
            message, hint = "@end without @begin", ""
        elif character == "!":
            hint = "the operators are = < > <= >="
        elif character in "{};:":
            hint = "features are joined with 'and' and enclosed in parentheses"
        self.stop(message, hint or self.other_language_hint())

    def name_hint(self) -> str:
        if self.kind in KEYWORDS:
            return f"'{self.kind}' is a reserved word"
        if self.kind == NUMBER:
            return "a name starts with a letter, '_' or '.'"
        return "names are written without quotes" if self.kind in (TEXT, JSON_TEXT) else ""

    def number_hint(self) -> str:
        if self.kind in (TEXT, JSON_TEXT):
            return "numbers are written without quotes"
        if self.kind == NAME and self.value[0] == "." and self.value[1:2].isdigit():
            return f"write 0{shortened(self.value)}"
        return ""

    def other_language_hint(self) -> str:
        """What the document looks like, if the very beginning tells that it is no RADL text."""
        beginning = self.text[:2000].lstrip()
        if beginning.startswith(("[", "{")):
            return "this looks like JSON: send it as application/json"
        if re.search(r"^tosca_definitions_version", beginning, re.MULTILINE):
            return "this looks like TOSCA: send it as text/yaml"
        return ""

    # --- sentences

    def read_document(self) -> None:
        sentences: dict[str, Callable[[tuple[int, int]], None]] = {
            "description": self.read_description,
            "network": self.read_network,
            "ansible": self.read_ansible,
            "system": self.read_system,
            "configure": self.read_configure,
            "contextualize": self.read_contextualize,
            "deploy": self.read_deploy,
        }
        while True:
            try:
                self.advance()
                while self.kind != END:
                    self.given_up = False
                    self._sentence = self.start
                    read = sentences.get(self.kind) or sentences[self.meant_sentence()]
                    position = self.position(self._sentence)
                    if self.kind != "description":
                        self.at_beginning = False
                    self.advance()
                    read(position)
                return
            except InvalidDocument as error:
                self._depth = 0
                resume = self.fail(error)
                self.keep_name()
                place = after_sentence(self.text, resume)
                self.lost = self.lost or "\n" in self.text[resume : place.offset].strip()
                self.resume(place)

    def meant_sentence(self) -> str:
        """The keyword that the word in hand, which is none, seems to stand for; noted as a problem."""
        if self.kind == ")":
            self._resume = self.match.end()
            self.stop("unexpected ')'", "there are more closing than opening parentheses")
        hint, similar = "", ""
        if self.kind == NAME:
            similar = next(iter(get_close_matches(self.value[:40].lower(), _SENTENCES, 1)), "")
            hint = f"did you mean '{similar}'?" if similar else ""
        if self.kind == BEGIN:
            hint = "a recipe stands in the parentheses of configure"
        if self.kind != BEGIN:
            self._resume = self.match.end()
        try:
            self.refuse("one of " + ", ".join(_SENTENCES), hint)
        except InvalidDocument as error:
            if not similar:
                raise
            self._resume = None
            self.note(error.problems[0])
        return similar

    def read_description(self, position: tuple[int, int]) -> None:
        description = Description(self.take_name("the name of the description"), line=position[0], column=position[1])
        if self.kind == "(":
            description.features = self.read_group()
        if not self.at_beginning:
            message, hint = "the description is not at the beginning", "write it before everything else"
            self.note(Problem(message, *position, "syntax", hint))
        elif self.document.description is not None:
            self.note(Problem("there is a second description", *position, "duplicate-description"))
        self.document.description = description

    def read_network(self, position: tuple[int, int]) -> None:
        network = Network(self.take_name("the id of the network"), line=position[0], column=position[1])
        if self.kind == "(":
            network.features = self.read_group()
        else:
            network.reference = True
        self.define(self.document.networks, network)

    def read_ansible(self, position: tuple[int, int]) -> None:
        node = AnsibleNode(self.take_name("the id of the Ansible node"), line=position[0], column=position[1])
        if self.kind != "(":
            self.refuse("'('", "an Ansible node cannot be a reference: give its features in parentheses")
        node.features = self.read_group()
        self.define(self.document.ansibles, node)

    def read_system(self, position: tuple[int, int]) -> None:
        system = System(self.take_name("the id of the system"), line=position[0], column=position[1])
        if self.kind == "(":
            system.features = self.read_group()
        else:
            system.reference = True
        self.define(self.document.systems, system)

    def read_configure(self, position: tuple[int, int]) -> None:
        id = self.take_name("the id of the recipe")
        recipe, reference = None, self.kind != "("
        if not reference:
            self.advance()
            if self.kind == BEGIN:
                recipe = self.read_recipe()
            self.take(")", "')'" if recipe else "@begin or ')'", "a recipe stands between @begin and @end")
        configure = Configure(id, recipe, reference, line=position[0], column=position[1])
        self.define(self.document.configures, configure)

    def read_recipe(self) -> str:
        start = self.match.end()
        end = self.text.find("\n@end", start)
        if end < 0:
            hint = "the mark @end must stand at the very beginning of a line"
            self.stop("the recipe has no end", hint)
        self._matches = _TOKEN.finditer(self.text, end + len("\n@end"))
        self.advance()
        return self.text[start : end + 1]

    def read_deploy(self, position: tuple[int, int]) -> None:
        system = self.take_name("the id of the system to deploy")
        count = self.take_whole_number("number of machines")
        cloud = None
        if self.kind == JSON_TEXT:
            cloud = self.take_text()
        elif self.kind == NAME:
            cloud = self.value
            self.advance()
        elif self.kind in (TEXT, NUMBER):
            self.refuse(
                "a cloud id or the next sentence",
                'a cloud id is a bare word that starts with a letter; any other is written @"id"',
            )
        self.document.deploys.append(Deploy(system, count, cloud, line=position[0], column=position[1]))

    def read_contextualize(self, position: tuple[int, int]) -> None:
        contextualize = Contextualize()
        if self.kind == NUMBER:
            contextualize.max_time = self.take_number("a time limit in seconds")
        if self.kind != "(":
            self.refuse("a time limit in seconds or '('")
        self.read_contextualize_body(contextualize)
        present = self.document.contextualize
        self.document.contextualize = contextualize if present is None else present.merged(contextualize)

    def read_contextualize_body(self, contextualize: Contextualize) -> None:
        """Options and items; the token in hand is the opening parenthesis."""
        while True:
            try:
                self.advance()
                while self.kind == "option" or self.kind == "system":
                    if self.kind == "system":
                        contextualize.add(self.read_item())
                        continue
                    if contextualize.items:
                        message = "unexpected keyword 'option', expected 'system' or ')'"
                        hint = "options come before the items"
                        self.note(Problem(message, *self.position(self.start), "syntax", hint))
                    self.read_option(contextualize.options)
                if self.given_up:
                    return
                if self.kind != ")":
                    self.refuse("'system' or ')'")
                break
            except InvalidDocument as error:
                place = after_item(self.text, self.fail(error))
                self.lost = self.lost or place.next is Next.END
                self.resume(place)
        self.advance()

    def read_option(self, options: Features) -> None:
        self.advance()
        start = self.position(self.start)
        name = self.take_name("the name of the option")
        op = self.take_operator(name)
        if self.kind in (TEXT, JSON_TEXT):
            self.add(options, name, Text(self.take_text(), op, *start))
        else:
            value = self.take_number("a text in quotes or a number")
            self.add(options, name, Number.of(Bound(op, value, "", *start)))

    def read_item(self) -> ContextualizeItem:
        line, column = self.position(self.start)
        self.advance()
        system = self.take_name("the id of a system")
        self.take("configure", "'configure'")
        configure = self.take_name("the id of a recipe")
        step, tool = 0, None
        if self.kind == "step":
            self.advance()
            step = self.take_whole_number("step")
        elif self.kind == "with":
            self.advance()
            tool = self.take_name("the name of a tool")
        if self.kind in ("step", "with"):
            self.refuse("the next item or ')'", "an item has a step or a tool, not both")
        return ContextualizeItem(system, configure, step, tool, line=line, column=column)

    def define(self, aspects: dict[str, _Aspect], aspect: _Aspect) -> None:
        """Enter an aspect under its id, which must be new among its class."""
        present = aspects.setdefault(aspect.id, aspect)
        if present is not aspect:
            what = _CLASS_NAMES[type(aspect)]
            message = f"the {what} '{shortened(aspect.id)}' is defined a second time (first in line {present.line})"
            self.note(Problem(message, aspect.line, aspect.column, "duplicate-id"))

    # --- features

    def read_group(self) -> Features:
        """A group in parentheses; the token in hand is the opening one."""
        features = Features()
        opened = self.position(self.start)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.stop(f"groups are nested more than {MAX_DEPTH} deep", kind="too-deep")
        self.advance()
        if self.kind != ")":
            self.read_features(features, opened)
        self._depth -= 1
        if not self.given_up:
            self.advance()
        return features

    def read_features(self, features: Features, opened: tuple[int, int]) -> None:
        """The features of a group as far as its closing parenthesis, or as far as they can be made out."""
        depth = self._depth
        while True:
            try:
                self.read_feature(features)
                while self.kind == "and":
                    self.advance()
                    self.read_feature(features)
                if self.kind == ")" or self.given_up:
                    return
                self.refuse_after_feature(opened)
            except InvalidDocument as error:
                self._depth = depth
                if self.garbled:
                    self.garbled = False
                    features.discard_last()
                if not self.reach_feature(error):
                    return

    def reach_feature(self, error: InvalidDocument) -> bool:
        """Note the error, and take in hand the next feature or, if the answer is no, what follows the last one."""
        while True:
            place = after_feature(self.text, self.fail(error))
            self.lost = self.lost or place.next is Next.END
            self.resume(place)
            try:
                self.advance()
            except InvalidDocument as another:
                error = another
            else:
                return place.next is Next.FEATURE and self.kind != ")"

    def refuse_after_feature(self, opened: tuple[int, int]) -> NoReturn:
        hint = ""
        taken_for_unit = _UPPER_CASE_AND.search(self.text, max(0, self.start - 100), self.start)
        if taken_for_unit is not None:
            self.garbled = True
            self.rewind()
            message = f"unexpected name '{taken_for_unit[1]}', expected 'and' or ')'"
            place = self.position(taken_for_unit.start())
            raise InvalidDocument(Problem(message, *place, "syntax", "keywords are written in lower case: and"))
        if self.kind == END or self.kind in _SENTENCES:
            hint = f"the parenthesis of line {opened[0]} is not closed"
        elif self.kind == NAME and self.value.lower() == "and":
            hint = "keywords are written in lower case: and"
        elif self.kind == NAME and self.value.lower() in _SENTENCES:
            hint = f"keywords are written in lower case: {self.value.lower()}"
        elif self.kind in (NAME, ",", "soft"):
            hint = "features are joined with 'and'"
        elif self.kind in _COMPARATORS:
            hint = "an operator stands between a name and a value"
        self.refuse("'and' or ')'", hint)

    def read_feature(self, features: Features) -> None:
        line, column = self.position(self.start)
        if self.kind == "soft":
            self.advance()
            weight = self.take_number("the weight, a number")
            if self.kind != "(":
                self.refuse("'('", "a soft group is written: soft 10 (memory.size >= 8G)")
            features.add_soft(Soft(weight, self.read_group(), line, column))
            return
        if self.kind != NAME:
            self.refuse("a feature", self.feature_hint())
        name = self.value
        self.advance()
        if self.kind == "contains":
            self.advance()
            if self.kind != "(":
                self.refuse("'('", f"write {shortened(name)} contains (name = '…')")
            self.add(features, name, Collection((self.read_group(),), line=line, column=column))
            return
        op = self.take_operator(name)
        if self.kind == TEXT or self.kind == JSON_TEXT:
            feature: Feature = Text(self.read_value(), op, line, column)
        elif self.kind == NUMBER:
            value = self.take_number("a number")
            unit = ""
            if self.kind == NAME:
                unit = self.value
                self.advance()
            feature = Number.of(Bound(op, value, unit, line, column))
        elif self.kind == "[":
            feature = TextList(self.read_list(), op, line, column)
        elif self.kind == "(" and op == "=":
            feature = Group(self.read_group(), line, column)
        else:
            self.refuse("a value", self.value_hint())
        self.add(features, name, feature)

    def feature_hint(self) -> str:
        if self.kind == ")":
            return "after 'and' comes one more feature"
        if self.kind == END:
            return "a parenthesis is not closed"
        if self.kind in (TEXT, JSON_TEXT):
            return "a feature is written: name operator value"
        return self.name_hint()

    def value_hint(self) -> str:
        if self.kind in (NAME, *KEYWORDS):
            return self.number_hint() or f"a text is written in single quotes: '{shortened(self.value)}'"
        return "equality is written with a single =" if self.kind == "=" else ""

    def take_operator(self, name: str) -> str:
        if self.kind not in _COMPARATORS:
            self.refuse(f"an operator (= < > <= >=) or contains after '{shortened(name)}'")
        op = self.kind
        self.advance()
        return op

    def read_value(self) -> str:
        """A text as the value of a feature, where 'random(N)' stands for random characters."""
        if self.kind == TEXT and self.value.startswith("'random("):
            try:
                length = random_length(self.value[1:-1])
            except ValueError as error:
                self.stop(str(error), kind="wrong-value")
            if length is not None:
                self.advance()
                return random_text(length)
        return self.take_text()

    def read_list(self) -> tuple[str, ...]:
        texts: list[str] = []
        self.advance()
        if self.kind != "]":
            texts.append(self.read_list_text())
            while self.kind == ",":
                self.advance()
                texts.append(self.read_list_text())
        self.take("]", "',' or ']'")
        return tuple(texts)

    def read_list_text(self) -> str:
        if self.kind not in (TEXT, JSON_TEXT):
            trailing = self.kind == "]"
            self.refuse("a text", "remove the last comma" if trailing else "lists hold texts in single quotes only")
        return self.take_text()

    def add(self, features: Features, name: str, feature: Feature) -> None:
        """Add a feature, noting the problem if it contradicts what is there."""
        try:
            features.add(name, feature)
        except InvalidDocument as error:
            for problem in error.problems:
                self.note(problem)
