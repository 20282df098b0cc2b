import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import InputError
from ragqa.records import Page, Passage
from ragqa.text.characters import CLOSING_QUOTES, PAUSES, SENTENCE_ENDS
from ragqa.text.clean import HEADING
from ragqa.text.passages import (
    cite,
    from_full_text,
    full_text,
    is_debris,
    sections,
    sentences,
    source_line,
    split,
    split_windows,
)

WORDS = st.sampled_from(
    [
        "a",
        "the",
        "k-means",
        "Models",
        "e.g.",
        "C4.5,",
        "(see",
        "it)",
        "“yes.”",
        "learn.",
        "🧠",
        "É" * 30,
        "树。",
        "园丁、",
        "ต้น",
    ]
)
LINES = st.one_of(
    st.lists(WORDS, max_size=40).map(" ".join),
    st.sampled_from(["== Training ==", "=== Loss ===", "====", "== not a heading", "=  =", "\t", "  == B =="]),
    st.text(max_size=40),
)
TEXTS = st.lists(LINES).map("\n".join) | st.lists(LINES).map("\n\n".join)
PAGES = TEXTS.map(lambda text: Page("A page", text=text))
SIZES = st.integers(1, 20) | st.integers(20, 600)


@given(PAGES, SIZES)
def test_passages_are_exact_pieces_of_the_page_within_the_limit(page: Page, max_chars: int) -> None:
    for passage in split(page, max_chars):
        assert 0 < len(passage.text) <= max_chars
        assert page.text[passage.start : passage.end] == passage.text
        assert passage.text.strip() == passage.text


@given(PAGES, SIZES)
def test_passages_come_in_order_and_never_overlap(page: Page, max_chars: int) -> None:
    passages = split(page, max_chars)
    assert all(one.end <= other.start for one, other in pairwise(passages))
    assert [p.id for p in passages] == [f"A page#{n}" for n in range(len(passages))]


@given(PAGES, SIZES)
def test_only_white_space_and_headings_are_left_out(page: Page, max_chars: int) -> None:
    rest = list(page.text)
    for passage in split(page, max_chars):
        rest[passage.start : passage.end] = " " * len(passage.text)
    for heading in HEADING.finditer(page.text):
        rest[heading.start() : heading.end()] = " " * len(heading[0])
    assert not "".join(rest).strip()


@given(PAGES, SIZES)
def test_no_passage_holds_a_heading(page: Page, max_chars: int) -> None:
    spans = [match.span() for match in HEADING.finditer(page.text)]
    for passage in split(page, max_chars):
        assert not any(start < passage.end and passage.start < end for start, end in spans)


@given(PAGES, SIZES)
def test_a_word_is_cut_only_where_it_is_longer_than_a_passage(page: Page, max_chars: int) -> None:
    for one, other in pairwise(split(page, max_chars)):
        between = one.end == other.start and page.text[one.end - 1] not in SENTENCE_ENDS + CLOSING_QUOTES + PAUSES
        if between:  # no white space between them
            word = re.search(r"\S*$", page.text[: one.end])[0] + re.match(r"\S*", page.text[one.end :])[0]  # type: ignore[index]
            assert len(word) > max_chars


CHINESE = "园丁在春天修剪苹果树，使阳光照到每一根枝条。修剪之后，伤口要涂上树脂，以免真菌进入。老树可以分三年修剪。"
JAPANESE = "庭師は春にりんごの木を剪定します。切り口には、樹脂を塗ります。古い木は三年かけて剪定します。"


@pytest.mark.parametrize("text", [CHINESE, JAPANESE])
@pytest.mark.parametrize(("max_chars", "ends"), [(60, "。"), (30, "。，、"), (20, "。，、")])
def test_scripts_without_spaces_are_cut_behind_sentences_then_behind_commas(
    text: str, max_chars: int, ends: str
) -> None:
    passages = split(Page("树", text=text * 8), max_chars)
    assert "".join(p.text for p in passages) == text * 8
    assert {p.text[-1] for p in passages} <= set(ends)
    assert all(len(p.text) <= max_chars for p in passages)


def test_thai_is_cut_between_phrases_and_not_next_to_words_in_other_letters() -> None:
    text = "ชาวสวนตัดแต่งต้นไม้ (pruning) ในฤดูใบไม้ผลิ เด็ก ๆ ก็ช่วย " * 5
    passages = split(Page("สวน", text=text), 70)
    assert {p.text.split(" ")[0] for p in passages} == {"ชาวสวนตัดแต่งต้นไม้"}
    assert {p.text[-6:] for p in passages} == {" ก็ช่วย"[-6:]}


@pytest.mark.parametrize(
    "letters",
    [
        ["ต้", "น", "ไ", "ม้"],
        ["पे", "ड़", "छँ", "टा", "ई"],
        ["e\u0301", "o\u0308\u0304", "x"],
        ["👩\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "🇩🇪"],
        ["\u110c\u1165\u11bc", "\u110b\u116f\u11ab"],
        ["क्षे", "त्र", "श्न"],
        ["ทำ", "น้ำ", "ก"],
    ],
)
def test_a_letter_keeps_its_marks_where_a_word_is_cut(letters: list[str]) -> None:
    whole = "".join(letters) * 20
    starts = {len("".join((letters * 20)[:n])) for n in range(len(letters) * 20)}
    for max_chars in (5, 7, 11):
        passages = split(Page("A", text=whole), max_chars)
        assert "".join(p.text for p in passages) == whole
        assert {p.start for p in passages} <= starts


def test_a_letter_longer_than_a_passage_is_cut() -> None:
    assert [p.text for p in split(Page("Marks", text="e" + "\u0301" * 5), 3)] == ["e\u0301\u0301", "\u0301" * 3]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_any_line_end_ends_a_heading_and_offsets_count_in_the_page_as_it_is(end: str) -> None:
    text = end.join(["Lead.", "", "== Making ==", "It takes a year.", "", "Turn it.", "=== Heat === ", "Hot."])
    passages = split(Page("Compost", text=text))
    assert [(p.section, p.text) for p in passages] == [
        ("", "Lead."),
        ("Making", f"It takes a year.{end}{end}Turn it."),
        ("Heat", "Hot."),
    ]
    assert all(text[p.start : p.end] == p.text for p in passages)


@pytest.mark.parametrize("max_chars", [200, 500])
def test_sentences_that_fit_are_never_cut(starter_pages: tuple[Page, ...], max_chars: int) -> None:
    for page in starter_pages:
        cuts = {passage.end for passage in split(page, max_chars)}
        for start, end in sentences(page.text):
            assert end - start >= max_chars or not cuts & set(range(start + 1, end))


@given(st.text(" \t\n\r\u2003"), SIZES)
def test_a_page_without_text_gives_no_passage(text: str, max_chars: int) -> None:
    assert split(Page("Empty", text=text), max_chars) == []
    assert split(Page("Headings", text=f"== A ==\n{text}\n=== B ==="), max_chars) == []


def test_short_neighbours_are_joined_and_headings_part_them() -> None:
    page = Page("ML", text="One. Two.\n\nThree.\n== Use ==\nFour.\n\n=== In speech ===\nFive.")
    assert [(p.section, p.text) for p in split(page, 20)] == [
        ("", "One. Two.\n\nThree."),
        ("Use", "Four."),
        ("In speech", "Five."),
    ]


def test_a_word_longer_than_a_passage_is_cut() -> None:
    assert [p.text for p in split(Page("Long", text="abcdefg " + "hi"), 3)] == ["abc", "def", "g", "hi"]


@pytest.mark.parametrize("cut", [split, split_windows])
@pytest.mark.parametrize("max_chars", [0, -1])
def test_passages_of_no_characters_are_refused(cut: Callable[[Page, int], list[Passage]], max_chars: int) -> None:
    with pytest.raises(InputError, match=rf"^max_chars is {max_chars}; at least 1 is needed$"):
        cut(Page("A", text="text"), max_chars)


@given(TEXTS, st.integers(1, 600))
def test_windows_are_the_page_in_pieces_of_one_length(text: str, max_chars: int) -> None:
    windows = split_windows(Page("A", text=text), max_chars)
    assert "".join(w.text for w in windows) == text
    assert all(len(w.text) == max_chars for w in windows[:-1])
    assert all(text[w.start : w.end] == w.text for w in windows)
    assert len({w.id for w in windows}) == len(windows)


def test_sections_are_what_stands_below_each_heading() -> None:
    text = "Lead.\n== A b ==\nOne.\n=== C ===  \n== D ==\nTwo.\n= E =\n"
    assert [(heading, text[start:end]) for heading, start, end in sections(text)] == [
        ("", "Lead.\n"),
        ("A b", "\nOne.\n"),
        ("C", "\n"),
        ("D", "\nTwo.\n= E =\n"),
    ]


@pytest.mark.parametrize(
    ("page", "section", "url"),
    [
        (Page("A", "https://en.wikipedia.org/wiki/A", revision=12), "", "https://en.wikipedia.org/wiki/A?oldid=12"),
        (
            Page("A", "https://en.wikipedia.org/wiki/A", revision=12),
            "Use",
            "https://en.wikipedia.org/wiki/A?oldid=12#Use",
        ),
        (Page("A", "https://en.wikipedia.org/wiki/A"), "", "https://en.wikipedia.org/wiki/A"),
        (Page("A", "https://a.org/A"), "Émile's #1 / use", "https://a.org/A#%C3%89mile%27s_%231_%2F_use"),
        (Page("A", revision=12), "Use", ""),
    ],
)
def test_a_citation_names_revision_and_section(page: Page, section: str, url: str) -> None:
    assert cite(page, section) == url


def test_every_passage_cites_its_section() -> None:
    page = Page("A", "https://a.org/A", revision=7, text="Lead.\n== Use ==\nText.")
    passages = split(page)
    assert [p.url for p in passages] == ["https://a.org/A?oldid=7", "https://a.org/A?oldid=7#Use"]
    assert list(map(source_line, passages)) == [p.url for p in passages]


def test_text_written_for_ragqa_names_the_article_on_its_topic_and_cites_nothing() -> None:
    page = Page("A", text="Lead.\n== Use ==\nText.", about="https://a.org/A")
    assert [(p.url, p.about) for p in split(page)] == [("", "https://a.org/A")] * 2
    said = "written for ragqa; the topic's article on Wikipedia: https://a.org/A"
    assert list(map(source_line, split(page))) == [said] * 2
    assert source_line(split(Page("A", text="Text."))[0]) == ""


@pytest.mark.parametrize(
    "text",
    [
        "It learns.| It works!| Does it?| Yes.",
        "Models, e.g. Transformers, i.e. BERT, learn.| Others do not.",
        "Dr. Hinton, G. E. Hinton and St. Peter met vs. Fig. 3 of Hinton et al. See there.| Done.",
        "The rate is 0.5 or C4.5 by J. R. Quinlan.| It is old.",
        "He said “It works.”| Then he left.",
        "(This is one.)| (This is two.)| [3] is a note.",
        "A heading|\n\nsecond.|\n Third",
        "lower case. follows a stop",
        "In 1958.| 1959 came next.",
        "他说：“好。”|然后走了！！|真的？|是。",
        "庭師は剪定します。|木は育つ（春に。）|終わり",
        "वह पेड़ है।| यह घर है॥|\nअंत",
        "「木は育つ。」と庭師は言った。|本当？",
        "模型很有用.|它能预测!|真的吗?|图3.5很好",
        "値は３．１４である．|次に進む．",
        "یہ گھر ہے۔| وہ درخت ہے۔",
        "هل هذا بيت؟| نعم.| هذا بيت",
        "Он учится.| Другие нет. и т. д.",
        "정원사는 심는다.| 나무는 자란다.",
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str) -> None:
    whole = text.replace("|", "")
    assert [whole[start:end] for start, end in sentences(whole)] == [piece.strip() for piece in text.split("|")]


@given(TEXTS)
def test_sentences_leave_out_white_space_alone(text: str) -> None:
    spans = sentences(text)
    assert re.sub(r"\s", "", "".join(text[a:b] for a, b in spans)) == re.sub(r"\s", "", text)
    assert all(a < b <= c for (a, b), (c, _) in pairwise(spans))


@pytest.mark.parametrize(
    ("passage", "text"),
    [
        (Passage("1", "Dropout", "Use", text="It helps."), "Dropout - Use: It helps."),
        (Passage("1", "Dropout", text="It helps."), "Dropout: It helps."),
        (Passage("1", "", "Use", text="It helps."), "Use: It helps."),
        (Passage("1", "", text="It helps."), "It helps."),
    ],
)
def test_the_full_text_names_page_and_section(passage: Passage, text: str) -> None:
    assert full_text(passage) == text


@pytest.mark.parametrize(
    "text",
    [
        "Ada Lovelace\nAlan Turing\nGrace Hopper",
        "Markov random fields\nBayesian networks",
        "1971–1980 Ada Lovelace\n1980–1986 Alan Turing",
        "Turing, A. (1950). “Minds and Levers”. Journal of Levers. 4 (2): 12–15. doi:10.1/2. ISBN 978-3-16-148410-0.",
        "Archived 3 May 2010 at the Wayback Machine",
        "Lever School – (Ada Lovelace) {Levers}\nPulley School – (Alan Turing) {Pulleys}",
        "v\nt\ne\nNeural networks\nLayers",
        "η\n=\n(\nx\n)",
        "Automatic levers Pulley sorting Gear recognition Rope finding Hand tools Mobile cranes Spring analysis Lever design",
        "[A table was here: Name, Meaning]",
    ],
)
def test_what_is_left_of_lists_and_references_is_debris(text: str) -> None:
    assert is_debris(Passage("A#0", "A", text=text))


@pytest.mark.parametrize(
    "text",
    [
        "It helps.",
        "Advantages:\n\nquick to train\nneeds little memory",
        "The three parts of it are:\n\ninput\nhidden\noutput",
        "kernel: a function of two points\nbias: an error that stays",
        "Lever – a bar that turns about a point\nPulley – a wheel with a rope",
        "Choose a weight at random\nMove it down the slope of the loss\nRepeat until it no longer moves",
        "for x in y:\n    f(x)\n    g(x)",
        r"\min_wL(w)+\lambda \|w\|^2",
        "It was shown by Turing (1950, p. 12) that the levers of such a machine can be moved by what it has "
        "read before, and so it learns.",
        "園丁は春にりんごの木を剪定し、切り口に樹脂を塗ります。」",
        "माली वसंत में सेब के पेड़ की छँटाई करता है।",
        "Es lernt aus Beispielen, die jemand ausgesucht hat.",
        "A sentence of the text that is cut in the middle, because it is longer than a passage may be, "
        "has no stop but says much",
    ],
)
def test_sentences_and_lists_that_mean_something_are_no_debris(text: str) -> None:
    assert not is_debris(Passage("A#0", "A", text=text))


def test_the_starter_corpus_holds_no_debris(starter_passages: tuple[Passage, ...]) -> None:
    assert not [passage.text for passage in starter_passages if is_debris(passage)]


@given(st.text())
def test_any_passage_is_judged(text: str) -> None:
    assert is_debris(Passage("A#0", "A", text=text)) in (True, False)


@given(st.text(alphabet="ab -:\n.", max_size=30), st.text(alphabet="ab -:", max_size=12), st.sampled_from(["", "Use"]))
def test_a_full_text_becomes_a_passage_with_the_same_full_text(text: str, title: str, section: str) -> None:
    whole = full_text(Passage("p", title, section, text=text))
    assert full_text(from_full_text("q", whole)) == whole


def test_title_and_section_are_found_in_a_full_text() -> None:
    found = from_full_text("q", "Dropout - Why it helps: It is noise: and helps.")
    assert (found.id, found.title, found.section, found.text) == (
        "q",
        "Dropout",
        "Why it helps",
        "It is noise: and helps.",
    )
    assert from_full_text("q", "No title here.") == Passage("q", "", end=14, text="No title here.")
