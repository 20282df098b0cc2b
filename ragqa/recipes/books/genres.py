"""Names of readers' shelves in, genres out: `ya-paranormal-romance` is three genres, `to-read` is none."""

import re
from collections.abc import Iterable
from functools import cache

_SYNONYMS = {
    "action": "action",
    "adventure": "adventure adventures",
    "alternate-history": "alternate-history alternative-history alt-history",
    "animals": "animals animal dogs cats horses",
    "art": "art design",
    "biography": "biography biographies bio bios autobiography autobiographies auto-biography",
    "business": "business economics finance management marketing leadership entrepreneurship",
    "chick-lit": "chick-lit chicklit chic-lit women-s-fiction womens-fiction",
    "children": "children children-s childrens childrensbooks kids kid kid-lit juvenile middle-grade middle-grades "
    "picture-book picture-books chapter-books for-children young-children",
    "classics": "classic classics classical",
    "comics": "comics comic graphic-novel graphic-novels graphic manga mangas manhwa manhua dc vertigo marvel superhero "
    "superheroes shoujo shojo shonen",
    "contemporary": "contemporary contemp realistic realistic-fiction modern-fiction modern-literature",
    "cooking": "cooking cookbook cookbooks food",
    "crime": "crime crimes",
    "cyberpunk": "cyberpunk",
    "drama": "drama play plays theatre theater teatro",
    "dystopia": "dystopia dystopian dystopias distopia distopian apocalyptic apocalypse post-apocalyptic",
    "erotica": "erotica erotic bdsm",
    "espionage": "espionage spy spies",
    "essays": "essays essay",
    "fairy-tales": "fairy-tale fairy-tales fairytale fairytales retelling retellings folklore fables",
    "fantasy": "fantasy",
    "feminism": "feminism feminist",
    "gothic": "gothic",
    "health": "health mental-health mental-illness medicine medical nutrition",
    "historical": "historical historic historicalfiction historicals regency victorian tudors medieval",
    "history": "history ancient-history microhistory presidents",
    "horror": "horror zombie zombies ghost ghosts creepy",
    "humor": "humor humour funny comedy satire",
    "lgbt": "lgbt lgbtq lgbtqia glbt queer gay lesbian m-m",
    "literature": "literature literary literary-fiction",
    "magic": "magic magical witch witches witchcraft wizard wizards",
    "magical-realism": "magical-realism magic-realism",
    "memoir": "memoir memoirs",
    "music": "music rock-star rock-stars rockstar",
    "mystery": "mystery mysteries detective detectives cozy murder sherlock-holmes",
    "mythology": "mythology myths gods",
    "nature": "nature environment natural-history",
    "new-adult": "new-adult na",
    "noir": "noir hardboiled",
    "nonfiction": "nonfiction non-fiction",
    "paranormal": "paranormal supernatural para pnr vampire vampires vamps werewolf werewolves shifter shifters shapeshifters "
    "demons angels fae faeries fairies",
    "philosophy": "philosophy existentialism",
    "poetry": "poetry poems",
    "politics": "politics political",
    "psychology": "psychology psychological neuroscience",
    "religion": "religion religious christian christianity christianfiction faith theology spirituality spiritual "
    "inspirational buddhism islam atheism apologetics lds",
    "romance": "romance romances romantic love love-story love-stories",
    "science": "science physics biology evolution math mathematics popular-science technology",
    "scifi": "scifi sci-fi science-fiction sciencefiction sf space space-opera aliens alien",
    "self-help": "self-help self-improvement personal-development productivity",
    "short-stories": "short-stories short-story short-fiction novella novellas anthology",
    "sociology": "sociology anthropology",
    "sports": "sports",
    "steampunk": "steampunk steam-punk",
    "suspense": "suspense",
    "techno-thriller": "techno-thriller",
    "thriller": "thriller thrillers",
    "time-travel": "time-travel",
    "travel": "travel",
    "true-crime": "true-crime",
    "urban-fantasy": "urban-fantasy fantasy-urban",
    "war": "war wars warfare military world-war-i world-war-ii world-war-2 world-war-two ww2 wwii civil-war cold-war holocaust",
    "western": "western westerns",
    "writing": "writing",
    "ya": "ya young-adult young-adults teen teens teenlit youth",
}
GENRES = tuple(_SYNONYMS)

# words that add nothing to the name of a genre
_BESIDE = frozenset(
    "fiction novel novels book books lit genre general and the s adult series stories high epic heroic hard low dark modern "
    "historicals new american british english european french german russian japanese world us u greek legal".split()
)
_GENRE_OF = {tuple(name.split("-")): genre for genre, names in _SYNONYMS.items() for name in names.split()}
_LONGEST = max(map(len, _GENRE_OF))

# a genre needs this fraction of the votes that the book's top genre has
LEAST_OF_COUNTS = 0.02  # votes counted from shelves
LEAST_OF_NAMES = 0.3  # votes counted from listed names


@cache
def genres_of_shelf(name: str) -> frozenset[str]:
    """Return the genres that the name of a shelf holds; none if any word is neither part of a genre nor a filler word."""
    words = [word for word in re.split(r"[-\s]+", name.casefold()) if word]
    found = set()
    while words:
        size = next((n for n in range(_LONGEST, 0, -1) if tuple(words[:n]) in _GENRE_OF), 0)
        if size:
            found.add(_GENRE_OF[tuple(words[:size])])
        elif words[0] not in _BESIDE:
            return frozenset()
        words = words[size or 1 :]
    return frozenset(found)


def genres_of_book(shelves: Iterable[tuple[str, int]], least: float) -> frozenset[str]:
    """Return the genres of a book from shelf names and their counts. A name of several genres shares its votes among them.

    Genres with fewer than `least` times the votes of the top genre are left out.
    """
    votes: dict[str, float] = {}
    for name, count in shelves:
        named = genres_of_shelf(name)
        for genre in named:
            votes[genre] = votes.get(genre, 0.0) + count / len(named)
    return frozenset(genre for genre, count in votes.items() if count >= least * max(votes.values()))
