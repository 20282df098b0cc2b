"""A template's wikitext in, the text that it shows out, for templates that most wikis have: markup, lists, dates, infoboxes."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ragqa.text.table_rows import Cell, table_block
from ragqa.text.wikitext_elements import LIST, parse
from ragqa.text.wikitext_tables import one_line

_TEXT_ARGUMENT = {"em": 1, "lang": 2, "math": 1, "mvar": 1, "nobr": 1, "nowrap": 1}  # index of the visible argument

_INFOBOX = re.compile(r"\s*(?:infobox\b|[^|{}\n]{1,60}[ _]infobox\s*(?:\||$))", re.IGNORECASE)
_NO_FACT = re.compile(  # parameters of infoboxes that hold pictures, layout and settings
    r"(?:.* )?(?:image|logo|icon|photo|picture|screenshot|signature|map|pushpin|alt|caption|upright|background|"
    r"border)\d*(?: .*)?|.+ colou?r\d*|colou?r .*|.*style\d*|(?:body|above|label|data|row|header|title) ?class\d*|"
    r"(?:header|label|title|above|below|child|module|width|align|bg|qid|nocat|embed|footnotes?)\d*|"
    r"(?:hide|show|collaps|suppress|autoheader|italic|fetch|onlysource|noicon).*|"
    r"(?:lat|long)[dms]?|lat ?ns|long ?ew",
    re.IGNORECASE,
)
_NAME = ("name", "title", "above")  # parameters of infoboxes that say what the box is about
_LABELS = (  # of a value and of its label: `leader_title1` says what `leader_name1` is
    ("data", "label"),
    ("name", "title"),
    ("name", "type"),
    ("date", "event"),
)
_NO_VALUE = re.compile(  # names of files, and colours in digits
    r"[^\n]+\.(?:svg|png|jpe?g|gif|webp|tiff?|ogg|ogv|webm|pdf)|#[0-9a-f]{3,8}", re.IGNORECASE
)
_RANGES = frozenset("to - – and or by x × * & + ± +/-".split())  # between two numbers
_MONTHS = ("January February March April May June July August September October November December").split()


def template_text(call: str) -> str:
    """Return the text of a template that only marks up one of its arguments, such as `{{em|text}}`, else an empty string.

    These templates are the same on most Wikipedias.
    """
    name, *arguments = call.split("|", _TEXT_ARGUMENT.get(call.partition("|")[0].strip().lower(), 0))
    text = arguments[-1] if arguments and name.strip().lower() in _TEXT_ARGUMENT else ""
    return text.removeprefix("1=").strip()


def cell_template_text(call: str) -> str:
    """Return the text of a template that stands in tables and infoboxes, such as `{{yes}}` or `{{hlist|a|b}}`, else ""."""
    name = call.partition("|")[0].strip().lower().replace("_", " ")
    render = _CELL_TEMPLATES.get(name)
    return render([str(value).strip() for key, value in _parameters(call) if key.isdecimal()]) if render else ""


def is_infobox(call: str) -> bool:
    """Return True for `Infobox software|…` and the like."""
    return bool(_INFOBOX.match(call))


def write_infobox(call: str, stored: list[str]) -> str:
    """Store the lines of an infobox, `Name: value.` for each parameter, and return their placeholder.

    The parameters are those of the template, so their names may differ from the words that its readers see. Parameters without
    a name, and those for pictures, captions and layout, are left out. `labelN` and `dataN` belong together.
    """
    given = {key.replace("_", " "): value for key, value in _parameters(LIST.sub("\n", call))}
    name = next((text for key in _NAME if key in given and (text := _fact(given[key], stored))), "")
    labels = {key: label for key in given if (label := _label_key(key, given))}
    rows = []
    for key, value in given.items():
        if key not in (*_NAME, *labels.values()) and not key.isdecimal() and not _NO_FACT.fullmatch(key):
            label = _fact(given[labels[key]], stored) if key in labels else key
            rows.append([Cell(label[:1].upper() + label[1:], is_heading=True), Cell(_fact(value, stored))])
    return table_block(name, rows, stored, is_box=True)


def _label_key(key: str, given: Collection[str]) -> str:
    """Return the parameter that holds the label of another one, such as `label1` for `data1`, or ""."""
    keys = (key.replace(value, label) for value, label in _LABELS if value in key and key not in _NAME)
    return next((label for label in keys if label in given), "")


def _parameters(call: str) -> list[tuple[str, Any]]:
    """Return the names and the values of a template's arguments; those without a name are numbered."""
    nodes = parse(f"{{{{{call}}}}}").nodes
    template: Any = nodes[0] if nodes and type(nodes[0]).__name__ == "Template" else None
    return [(str(p.name).strip(), p.value) for p in template.params] if template is not None else []


def _fact(value: Any, stored: Sequence[str]) -> str:
    """Return the value of a parameter on one line, or nothing for the name of a file or a colour in digits."""
    text = one_line(value, stored, is_heading=False)
    return "" if _NO_VALUE.fullmatch(text) else text


def _first(values: Sequence[str]) -> str:
    return values[0] if values else ""


def _last_of(values: Sequence[str]) -> str:
    return values[-1] if values else ""


def _address(values: Sequence[str]) -> str:
    return re.sub(r"^https?://|/$", "", _last_of(values))


def _words(values: Sequence[str]) -> str:
    return " ".join(values[:2])


def _quantity(values: Sequence[str]) -> str:
    """Return a quantity with its unit: "5 km" for 5, km, and "5 to 6 km" for 5, to, 6, km."""
    end = 2
    while values[end - 1 : end] and values[end - 1] in _RANGES:
        end += 2
    return " ".join(values[:end]).replace(" - ", "–").replace(" – ", "–")


def _lines(values: Sequence[str]) -> str:
    return "\n".join(value.lstrip("*#:; ") for value in values)


def _date(values: Sequence[str]) -> str:
    """Return a date as it is read: "9 November 2015" for 2015, 11, 9."""
    numbers = [value for value in values[:3] if value.isdecimal()]
    if len(numbers) < 2 or not 1 <= int(numbers[1]) <= len(_MONTHS):
        return _first(values)
    day = f"{int(numbers[2])} " if len(numbers) == 3 else ""
    return f"{day}{_MONTHS[int(numbers[1]) - 1]} {numbers[0]}"


def _said(word: str) -> Callable[[Sequence[str]], str]:
    return lambda values: _first(values) or word


_DATES = "start date|end date|birth date|death date|film date|start date and age|birth date and age|death date and age"
_CELL_TEMPLATES: dict[str, Callable[[Sequence[str]], str]] = {
    **dict.fromkeys(("plainlist", "flatlist", "hlist", "ubl", "unbulleted list", "bulleted list"), _lines),
    **dict.fromkeys((*_DATES.split("|"), "release date", "release date and age", "dts", "birth year and age"), _date),
    **dict.fromkeys(("small", "nobold", "big", "abbr", "ipa", "flag", "nts", "sronly", "center"), _first),
    "sort": _last_of,
    "url": _address,
    **dict.fromkeys(("convert", "cvt"), _quantity),
    "sortname": _words,
    **dict.fromkeys(
        ("circa", "c."), lambda values: f"c. {_first(values)}"
    ),  # not "val": its unit and exponent have names
    "tick": _said("yes"),
    "cross": _said("no"),
    **{
        word: _said(word.capitalize())
        for word in ("yes", "no", "partial", "free", "nonfree", "proprietary", "maybe", "some")
    },
    **{word: _said("") for word in ("n/a", "unknown", "dunno")},
}
