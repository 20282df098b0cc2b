"""Headings in, the questions that many pages have in common out: history, uses, limitations, parts."""

import re
from typing import NamedTuple


class Heading(NamedTuple):
    """A pattern that whole headings match, and form and template of the question for them.

    In the template `{topic}` is the topic with its article, `{topics}` all things of its kind, and `{kinds}` the same
    without "the".
    """

    pattern: str
    form: str
    template: str


_HEADINGS = (
    Heading(r"history|origins?|historical .*|early history|.* history", "what", "What is the history of {topics}?"),
    Heading(r"uses?|usage|use cases?", "what", "What {is} {topic} used for?"),
    Heading(
        r"applications?|(?:notable|common|potential) applications", "what", "What are the applications of {topics}?"
    ),
    Heading(r"advantages|benefits|strengths", "what", "What are the advantages of {topics}?"),
    Heading(
        r"disadvantages|limitations|drawbacks|weaknesses|pitfalls|common problems",
        "what",
        "What are the limitations of {topics}?",
    ),
    Heading(r"criticisms?(?: and .*)?", "what", "What are the criticisms of {topics}?"),
    Heading(
        r"challenges|problems|issues|difficulties|(?:common|open) (?:problems|challenges)",
        "what",
        "What are the challenges of {topics}?",
    ),
    Heading(
        r"advantages and .*|strengths and .*|pros and cons",
        "what",
        "What are the advantages and limitations of {topics}?",
    ),
    Heading(
        r"types|variants|kinds|types of .*|variations|kinds of .*|common variants",
        "what",
        "What types of {kinds} are there?",
    ),
    Heading(r"definitions?|formal definition", "what", "What is the definition of {topic}?"),
    Heading(r"examples?", "what", "What are some examples of {topics}?"),
    Heading(r"(?:desirable )?properties", "what", "What are the properties of {topic}?"),
    Heading(r"etymology|origin of the name|name", "what", "Where does the name of {topic} come from?"),
    Heading(r"acquisitions", "what", "What has {topic} acquired?"),
    Heading(r"awards(?: and .*)?|recognition", "what", "What awards has {topic} received?"),
    Heading(r"products(?: and services)?|services", "what", "What does {topic} offer?"),
    Heading(r"plot", "what", "What is the plot of {topic}?"),
    Heading(r"when to use (?:it|one|them)(?: and when not)?", "what", "When should {topics} be used?"),
    Heading(r"motivation|rationale|why it is used", "how", "Why {is} {topic} used?"),
    Heading(r"algorithms?|procedure|how (?:it works|they work)|operation|mechanism", "how", "How {does} {topic} work?"),
    Heading(
        r"training|learning algorithm|parameter estimation|how (?:it is|they are) trained",
        "how",
        "How {is} {topic} trained?",
    ),
)
HEADING_ASPECT = re.compile(
    r"(?:(?:main|key|core|basic|time|space|computational|statistical|common|important|general|technical|design|typical) )?"
    r"(?:architecture|structure|syntax|components|features|properties|principles|goals|characteristics|requirements|"
    r"parameters|hyperparameters|assumptions|complexity|steps|stages|phases|elements|effects|risks|geography|climate|"
    r"demographics|economy|governance|costs?|performance|efficiency|accuracy|capacity|derivative|convergence|interpretation|"
    r"purpose|objectives?|design|philosophy|etymology|semantics)"
)


def usual_heading(heading: str) -> Heading | None:
    """Return the question for a heading that many pages have, or None for another heading."""
    return next((h for h in _HEADINGS if re.fullmatch(h.pattern, heading, re.IGNORECASE)), None)
