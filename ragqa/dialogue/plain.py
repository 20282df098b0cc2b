"""What a language model writes into plain text: no images, links, HTML or control characters, only words, lines and `[n]`."""

import re
import unicodedata

NO_LINK = "(link removed)"

_THINKING = re.compile(r"^\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|$)", re.DOTALL | re.IGNORECASE)
_HIDDEN = re.compile(
    r"<(script|style|template|svg|iframe|object)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)", re.DOTALL | re.IGNORECASE
)
_TAG = re.compile(
    r"</?(?:a|abbr|area|audio|b|base|blockquote|body|br|button|center|code|details|div|em|embed|font|form|frame|h[1-6]|head|hr|"
    r"html|i|img|input|label|li|link|map|mark|marquee|math|meta|ol|option|p|picture|pre|q|s|script|select|small|source|span|"
    r"strong|style|sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|track|tt|u|ul|video|think)\b[^<>]*(?:>|$)",
    re.IGNORECASE,
)
_OPENING = re.compile(r"<(?=[a-z/!?])", re.IGNORECASE)
_TARGET = r"\((?:[^()\n]|\([^()\n]{0,200}\)){0,500}(?:\)|$)"
_IMAGE = re.compile(rf"!+\[([^\[\]]*)\](?:{_TARGET}|\[[^\[\]]*\])?")
_CITED_LINK = re.compile(rf"\[?\[(\d{{1,3}}(?:\s*[,;]\s*\d{{1,3}})*)\]\]?{_TARGET}")
_LINK = re.compile(rf"\[([^\[\]]*)\]{_TARGET}")
_DEFINITION = re.compile(r"^ {0,3}\[[^\[\]\n]+\]:[^\n]*$", re.MULTILINE)
_ADDRESS = re.compile(
    r"<?\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.|(?:javascript|vbscript|mailto):(?=\S)|data:(?=[a-z]+/))[^\s<>\[\]]*>?",
    re.IGNORECASE,
)
_MARKS = re.compile(r"(\*\*|__|`{1,3}|~~)(?=\S)(.{1,200}?)(?<=\S)\1")
_LINE_MARKS = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|(?:-{3,}|\*{3,}|```\w*)[ \t]*$)", re.MULTILINE)


def plain_text(written: str) -> str:
    """The words of a model's Markdown or HTML. Links and images leave their text, addresses "(link removed)".

    What a model thinks aloud before it answers (`<think>`) is left out. What it leaves of a text it leaves as it is when it is
    given that again.
    """
    text = _THINKING.sub("", _without_controls(written))
    while (cleaned := _clean_once(text)) != text:
        text = cleaned
    return text


def is_thinking(written: str) -> bool:
    """Whether a growing text has not come to its answer yet."""
    begun = written.lstrip()[:9].lower()
    return "<think>".startswith(begun[:7]) and "</think" not in written and bool(begun)


def _clean_once(text: str) -> str:
    text = _DEFINITION.sub("", _TAG.sub("", _HIDDEN.sub("", text)))
    text = _CITED_LINK.sub(r"[\1]", _IMAGE.sub(r"\1", text))
    text = _ADDRESS.sub(NO_LINK, _LINK.sub(r"\1", text))
    text = _MARKS.sub(r"\2", _LINE_MARKS.sub("", text))
    text = _OPENING.sub("< ", text).replace("![", "[").replace("](", "] (")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _without_controls(text: str) -> str:
    """The text with line ends as \\n, and without characters that steer instead of being shown."""
    text = re.sub(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]", "\n", text).replace("\t", " ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
