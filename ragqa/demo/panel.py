"""The ranking of a turn as HTML: every hit with its ranks, scores and text; details are fetched when they are opened."""

from collections.abc import Collection, Iterable, Sequence

from ragqa.answers.answer import answering_span
from ragqa.demo.chart import direction, draw_movement
from ragqa.demo.escaping import escape, highlight, link, matches, prose
from ragqa.demo.turns import Turn
from ragqa.records import Answer, Hit, Passage
from ragqa.search.explanation import Explanation
from ragqa.text.passages import heading_path

EMPTY = '<p class="hint">Ask a question: how its passages were ranked will be shown here.</p>'
DETAILS = {"why": "Why this rank?", "page": "Read around it"}


def render_panel(turns: Sequence[Turn], shown: int) -> str:
    """The panel for the turn at this place; `data-turn` counts from 1, as references in the chat do."""
    turn = turns[shown] if 0 <= shown < len(turns) else None
    if turn is None or turn.answer is None or not turn.answer.hits:
        return f'<section class="ragqa" aria-label="Ranking">{EMPTY}</section>'
    body = render_both(turn.bm25, turn.answer) if turn.bm25 else LEGEND + render_hits(turn.answer)
    return (
        f'<section class="ragqa" aria-label="Ranking" data-turn="{shown + 1}" data-corpus="{escape(turn.corpus)}" '
        f'data-question="{escape(turn.answer.question)}"><h2>How the passages were ranked</h2>'
        f'<p class="asked">{escape(turn.answer.question)}</p>{render_movement(turn.answer.hits)}{body}</section>'
    )


def render_movement(hits: Sequence[Hit]) -> str:
    """The drawing of the ranks, where there are two rankings."""
    return draw_movement(hits) if hits[0].probability is not None else ""


def render_hits(answer: Answer) -> str:
    """The hits as a list of cards, best first."""
    cards = (
        render_card(rank, hit, answering_span(answer, rank), matches(answer.question, hit.passage.text))
        for rank, hit in enumerate(answer.hits, 1)
    )
    return f"<ol>{''.join(cards)}</ol>"


LEGEND = '<p class="legend"><mark>answering sentence</mark> <b>word of the question</b></p>'


def render_card(rank: int, hit: Hit, span: tuple[int, int], matched: Collection[tuple[int, int]] = ()) -> str:
    """One hit: its rank, page, ranks and scores, its text with `span` and `matched` marked, and what can be opened below."""
    details = "".join(
        f'<details data-part="{part}"><summary>{title}</summary><div aria-live="polite"></div></details>'
        for part, title in DETAILS.items()
    )
    return (
        f'<li class="card" tabindex="-1" data-rank="{rank}" data-passage="{escape(hit.passage.id)}" '
        f'aria-label="Passage {rank}"><div class="head"><span class="rank">{rank}</span>'
        f'<span class="page">{link(hit.passage)}</span></div>'
        f'<div class="facts">{render_facts(rank, hit)}</div>'
        f'<div class="passage">{highlight(hit.passage.text, span, matched)}</div>{details}</li>'
    )


def render_facts(rank: int, hit: Hit) -> str:
    """A hit's probability, the way from its rank by BM25 to its final one, and both scores."""
    facts = []
    if hit.probability is not None:
        moved = render_move(hit, rank) if hit.bm25_score else '<b class="up">found by meaning alone</b>'
        facts = [render_probability(hit.probability), moved, f"score {hit.score:.2f}"]
    if hit.bm25_score:
        facts.append(f"BM25 {hit.bm25_score:.2f}")
    return "".join(f"<span>{fact}</span>" for fact in facts)


def render_probability(probability: float) -> str:
    """A bar as long as the probability, and the number."""
    return f'{_bar(probability)}<span class="chance">{probability:.0%}</span> likely'


def _bar(share: float) -> str:
    return f'<span class="bar" aria-hidden="true"><span style="width:{share:.0%}"></span></span>'


def render_move(hit: Hit, rank: int) -> str:
    """How far reranking has moved a hit: `BM25 #14 → #1 ▲13`."""
    way, moved = direction(hit, rank), abs(hit.bm25_rank - rank)
    change = {"up": f"▲{moved}", "down": f"▼{moved}", "same": "="}[way]
    return f'BM25 #{hit.bm25_rank} → #{rank} <b class="{way}">{change}</b>'


def render_both(bm25: Sequence[Hit], answer: Answer) -> str:
    """Both rankings side by side, in short."""
    chosen = {hit.passage.id: rank for rank, hit in enumerate(answer.hits, 1)}
    first = "".join(_brief(rank, hit, chosen.get(hit.passage.id)) for rank, hit in enumerate(bm25, 1))
    return (
        f'{LEGEND}<div class="both"><div><h3>BM25 only</h3><ol>{first}</ol></div>'
        f"<div><h3>BM25 + reranker</h3>{render_hits(answer)}</div></div>"
    )


def _brief(rank: int, hit: Hit, chosen: int | None) -> str:
    became = "reranked further down" if chosen is None else f"reranked #{chosen}"
    return (
        f'<li class="card brief"><div class="head"><span class="rank plain">{rank}</span>'
        f'<span class="page">{link(hit.passage)}</span></div>'
        f'<div class="facts"><span>BM25 {hit.bm25_score:.2f}</span><span>{became}</span></div>'
        f'<div class="passage">{prose(hit.passage.text)}</div></li>'
    )


def render_why(explained: Explanation) -> str:
    """What a hit's score is made of: terms with their parts of the BM25 score, sentences with the reranker's logits."""
    terms = _table("Words of the question, and what each adds to BM25", _term_rows(explained))
    missing = ", ".join(map(escape, explained.missing))
    absent = f'<p class="hint">Not in the passage: {missing}</p>' if missing else ""
    rows = (
        f'<tr><td class="number">{sentence.score:+.2f}</td><td>{prose(sentence.text)}</td></tr>'
        for sentence in explained.sentences
    )
    read = _table("Its sentences, best first, with the reranker’s scores", rows) if explained.sentences else ""
    return f"{terms}{absent}{_sum(explained)}{read}"


def _term_rows(explained: Explanation) -> Iterable[str]:
    most = max((term.score for term in explained.terms), default=1.0)
    for term in explained.terms:
        score = f'<td class="number">{term.score:.2f}</td><td>{_bar(term.score / most)}</td>'
        yield f"<tr><td>{escape(term.word)}</td>{score}</tr>"


def _sum(explained: Explanation) -> str:
    parts = {"reranker": explained.logit, "similarity of meaning": explained.cosine, "BM25": explained.hit.bm25_score}
    told = " · ".join(f"{name} {value:.2f}" for name, value in parts.items() if value is not None)
    return f'<p class="hint">{told}</p>'


def _table(caption: str, rows: Iterable[str]) -> str:
    return f"<table><caption>{caption}</caption>{''.join(rows)}</table>"


def render_around(passage: Passage, before: Sequence[Passage], after: Sequence[Passage]) -> str:
    """A passage between its neighbours on the page."""
    own = f'<div class="own">{_paragraph(passage)}</div>'
    return "".join([*map(_paragraph, before), own, *map(_paragraph, after)])


def _paragraph(passage: Passage) -> str:
    return f'<h4>{escape(heading_path(passage))}</h4><p class="passage">{prose(passage.text)}</p>'


def render_page(passages: Sequence[Passage]) -> str:
    """A whole page: its passages below their headings."""
    parts, section = [f"<h2>{link(passages[0])}</h2>"], ""
    for passage in passages:
        if passage.section != section:
            section = passage.section
            parts.append(f"<h3>{escape(section)}</h3>")
        parts.append(f'<p class="passage">{prose(passage.text)}</p>')
    return f'<div class="ragqa"><article class="card">{"".join(parts)}</article></div>'


def render_notice(message: str) -> str:
    """One line of plain text."""
    return f'<p class="ragqa hint" role="status">{escape(message)}</p>'
