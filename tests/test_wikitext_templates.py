import pytest

from ragqa.text.wikitext import extract_text

pytest.importorskip("mwparserfromhell", reason="pip install mwparserfromhell")


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [
        ("|name=A|developer=[[B (company)|B]]<ref>c</ref>|first_release={{Start date|2015|11|9}}",
         ["Name: A.", "Developer: B.", "First release: 9 November 2015."]),
        ("|image=A.jpg|image size=9px|caption=The A|logo_alt=x|bodystyle=y|body class=z|title_style=a|photo=B C.png|year=5",
         ["Year: 5."]),
        ("|languages={{plainlist|\n* [[Python (language)|Python]]\n* C++\n}}|os={{hlist|Linux|{{nowrap|Mac OS}}}}",
         ["Languages: Python, C++.", "Os: Linux, Mac OS."]),
        ("|title=T|label1=Born in|data1=[[Berlin]]|label2=Died|data2=|header3=H|data4=x",
         ["Name: T.", "Born in: Berlin.", "Data4: x."]),
        ("|leader_title1=King|leader_name1=Ada|established_event=Founded|established_date=1909",
         ["King: Ada.", "Founded: 1909."]),
        ("|born={{birth date and age|1936|12|6}}|died={{death date|1990|5}}|since={{start date|1980}}|dated={{dts|soon}}",
         ["Born: 6 December 1936.", "Died: May 1990.", "Since: 1980.", "Dated: soon."]),
        ("|website={{URL|https://a.example/}}|mail=—|screenshot=[[File:B.png]]|free={{yes}}|cost={{no|not yet}}|u={{unknown}}",
         ["Website: a.example.", "Free: Yes.", "Cost: not yet."]),
        ("|a=1<br>2|positional|b=", ["A: 1, 2."]),
        ("|os=a\n{|\n! nested\n| b\n|}\n", ["Os: a."]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Infobox", "infobox software\n", "Military_infobox "])
def test_an_infobox_is_a_line_for_each_fact(parameters: str, lines: list[str], name: str) -> None:
    text = extract_text(f"{{{{{name}{parameters}}}}}\n'''A''' is prose.\n\nSo is this.\n== H ==\nMore.")
    assert text == "\n".join(["A is prose.\nSo is this.", "", *lines, "", "== H ==", "More."])


@pytest.mark.parametrize(
    "call", ["Infobox", "Infobox a|image=b.png", "Navbox|name=a|list1=b", "infoboxes|a=b", "box|{{hlist|a}}"]
)
def test_other_boxes_show_nothing(call: str) -> None:
    assert extract_text(f"{{{{{call}}}}}\nProse.") == "Prose."


def test_templates_of_cells_show_their_text_in_tables_only() -> None:
    table = "{|\n! A !! B !! C\n|-\n|{{yes}} || {{convert|5|km}} || {{sort|1|one}}\n|-\n| colspan=2 {{no}} || {{ubl|x|y}}\n|}"
    assert extract_text(f"It {{{{yes}}}} is:\n{table}") == "It  is:\nA: Yes; B: 5 km; C: one.\nA, B: No; C: x, y."


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        ("Width = 10 cm || width=640", "A: Width = 10 cm; B: width=640."),
        ('class = Mammalia || align="left"', 'A: class = Mammalia; B: align="left".'),
        ("colspan=2 | b", "A, B: b."),
        ('colspan="0" | b || rowspan=0 | c', "A: b; B: c."),
        ("colspan=0 {{no}} || {{small|1=width=5}}", "A: No; B: width=5."),
        ('style="a" class=b {{no|c}} || d{{small|e}}', "A: c; B: de."),
        ('style="a"class=b {{other}} c || {{small|{{dts|1990|{{nts|5}}|1}}}}', "A: c; B: 1 May 1990."),
    ],
)
def test_only_attributes_of_cells_are_left_out(cells: str, row: str) -> None:
    assert extract_text(f"It is:\n{{|\n! A !! B\n|-\n| {cells}\n|}}") == f"It is:\n{row}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("{{convert|5|km}}", "5 km"),
        ("{{convert|5|to|6|km}}", "5 to 6 km"),
        ("{{cvt|5|-|6|km|mi}}", "5–6 km"),
        ("{{convert|5|x|6|by|7|m|ft}}", "5 x 6 by 7 m"),
        ("{{convert|5}}", "5"),
        ("{{c.|1500}}", "c. 1500"),
        ("{{circa|1500}}", "c. 1500"),
        ("{{sortname|Ada|Lovelace}}", "Ada Lovelace"),
        ("about {{val|5|ul=GHz}} fast", "about fast"),
    ],
)
def test_values_keep_their_units(value: str, shown: str) -> None:
    assert extract_text(f"{{{{Infobox a|b={value}}}}}\nc") == f"c\n\nB: {shown}."


def test_an_infobox_keeps_facts_that_share_the_name_of_a_setting() -> None:
    box = "{{Infobox ship|class=Bismarck class|color=Grey|colour=#ff0000|title color=Red|bodyclass=x|row class=y|colour2=x}}\nb"
    assert extract_text(box).split("\n") == ["b", "", "Class: Bismarck class.", "Color: Grey.", "Colour2: x."]


def test_tables_that_are_never_closed_keep_the_text_of_their_templates() -> None:
    assert extract_text("{|\n| {{small|a}}").split() == ["{|", "|", "a"]


def test_empty_templates_keep_the_cells_apart() -> None:
    table = "{|\n! A !! B !! C\n|-\n|{{flagicon|x}}||style=border:0|{{IPA|y}}||z\n|-\n| colspan=2 {{other}}\n| w\n|}"
    assert extract_text(f"It is:\n{table}") == "It is:\nB: y; C: z.\nC: w."
