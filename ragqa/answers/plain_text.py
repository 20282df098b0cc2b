"""Conversion of a language model's output to plain text: words, lines and `[n]`; no images, links, HTML or control characters.

A server may send anything. So every pattern takes linear time, and the number of passes is limited.
"""

import json
import re
import unicodedata

NO_LINK = "(link removed)"

_MAX_PASSES = 8  # removing markup may join its neighbours to new markup; normal text needs fewer passes

_REASONING = r"(?:seed:)?(?:think(?:ing)?|thought|reasoning|reflection)"
_OPENS = rf"<{_REASONING}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>"
_CLOSES = rf"</{_REASONING}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>"
_THOUGHT = re.compile(rf"(?:{_OPENS}).*?(?:{_CLOSES}|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSING = re.compile(_CLOSES, re.IGNORECASE)
# gpt-oss: "<|channel|>analysis<|message|>We need …<|end|><|start|>assistant<|channel|>final<|message|>Dropout …<|return|>"
_CHANNEL = "<|channel|>"
_FINAL = re.compile(r"<\|channel\|>final[^<>|\n]{0,20}<\|message\|>")
_END_OF_CHANNEL = re.compile(r"<\|(?:end|return|start|call)\|>")
# the same from servers that drop the special tokens: "analysisWe need …assistantfinalDropout …"
_BARE_ANALYSIS, _BARE_FINAL = re.compile(r"\s*analysis(?=[A-Z])"), re.compile(r"assistant ?final(?=\W|[A-Z])")
_SPECIAL_TOKEN = re.compile(
    r"<\|[\w ./:-]{1,40}\|>|</?(?:bos|eos|pad|unk|mask|(?:start|end)_of_(?:turn|text)|endoftext)>|\[/?INST\]|<</?SYS>>"
)
_END = re.compile(r"<\|(?:im_end|eot_id|eot|endoftext|end_of_text|end|return)\|>|<(?:eos|end_of_turn)>|</s>")
_BEFORE_TEXT = re.compile(rf"(?:\s|</?s>|{_SPECIAL_TOKEN.pattern})*")
_ESCAPED = re.compile(
    r"(?:\\u[0-9a-fA-F]{4})+|\\[nrt](?![a-z])|\\[\"/]"  # \nu, \times and \rho belong to formulas
)
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
_IMAGE = re.compile(rf"(?<!!)!+\[([^\[\]]*)\](?:{_TARGET}|\[[^\[\]]*\])?")
_CITED_LINK = re.compile(rf"\[?\[(\d{{1,3}}(?:\s*[,;]\s*\d{{1,3}})*)\]\]?{_TARGET}")
_LINK = re.compile(rf"\[([^\[\]]*)\]{_TARGET}")
_DEFINITION = re.compile(r"^ {0,3}\[[^\[\]\n]+\]:[^\n]*$", re.MULTILINE)
_ADDRESS = re.compile(
    r"<?\b(?:[a-z][a-z0-9+.-]{1,20}://|www\.|(?:javascript|vbscript|mailto):(?=\S)|data:(?=[a-z]+/))[^\s<>\[\]]*>?",
    re.IGNORECASE,
)
_MARKS = re.compile(r"(\*\*|__|`{1,3}|~~)(?=\S)(.{1,200}?)(?<=\S)\1")
_IMAGE_MARK = re.compile(r"(?<!!)!+\[")
_NOT_A_WORD = re.compile(r"[^\w\s]|_")
_LINE_MARKS = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|(?:-{3,}|\*{3,}|```\w*)[ \t]*$)", re.MULTILINE)


def plain_text(written: str) -> str:
    """Convert a model's Markdown or HTML to plain text. Idempotent.

    Links and images are replaced by their text, bare URLs by "(link removed)". Reasoning is removed (`without_reasoning`). If
    the markup is nested so deeply that it must be an attack, only letters and digits are kept.
    """
    text = _without_controls(written)
    for _ in range(_MAX_PASSES):
        if (cleaned := _clean_once(text)) == text:
            return text
        text = cleaned
    return " ".join(_NOT_A_WORD.sub(" ", text).split())


def without_reasoning(written: str) -> str:
    """Remove a model's reasoning from its output. As long as the reasoning has not ended, the result is empty.

    Reasoning is the text between tags such as `<think>` and `</think>`. Some templates omit the opening tag; then everything
    before the closing tag is reasoning. With gpt-oss only the last "final" channel is the answer.
    """
    if _CHANNEL in written:
        *_, final = _FINAL.split(written) if _FINAL.search(written) else [""]
        return _END_OF_CHANNEL.split(final, 1)[0]
    *_, text = _CLOSING.split(_THOUGHT.sub("", written))
    if _BARE_ANALYSIS.match(text):
        *_, text = _BARE_FINAL.split(text) if _BARE_FINAL.search(text) else [""]
    return text


def _clean_once(text: str) -> str:
    text = _ESCAPED.sub(_unescaped, _SPECIAL_TOKEN.sub("", _until_end(without_reasoning(text))))
    text = _HIDDEN.sub("", text)
    text = _DEFINITION.sub("", _TAG.sub("", text))
    text = _CITED_LINK.sub(r"[\1]", _IMAGE.sub(r"\1", text))
    text = _ADDRESS.sub(NO_LINK, _LINK.sub(r"\1", text))
    text = _MARKS.sub(r"\2", _LINE_MARKS.sub("", text))
    text = _IMAGE_MARK.sub("[", _OPENING.sub("< ", text)).replace("](", "] (")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _until_end(text: str) -> str:
    """Cut a text at the token that ends the model's turn; some servers send it and what the model wrote after it."""
    begin = _BEFORE_TEXT.match(text).end()  # type: ignore[union-attr]  # it matches every text
    for end in _END.finditer(text, begin):
        is_tag = end[0] == "</s>" and text.find("<s>", begin, end.start()) >= 0  # HTML's, of text that is struck out
        if not is_tag:
            return text[: end.start()]
    return text


def _unescaped(escape: re.Match[str]) -> str:
    """Return the characters that an escape of JSON stands for."""
    try:
        return _without_controls(str(json.loads(f'"{escape[0]}"')))
    except ValueError:
        return ""


def _without_controls(text: str) -> str:
    """Use \\n for line ends, and remove control characters and other invisible ones."""
    text = re.sub(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]", "\n", text).replace("\t", " ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
