"""Log in to a private wiki: https://www.mediawiki.org/wiki/API:Login."""

from collections.abc import Callable, Mapping
from typing import Any

from ragqa.errors import CrawlError

PASSWORD = "RAGQA_WIKI_PASSWORD"  # noqa: S105  an environment variable

Ask = Callable[..., dict[str, Any]]  # returns the wiki's reply to parameters; posts `form` if it is given


def log_in(ask: Ask, user: str, password: str) -> None:
    """Log in; the connection's cookies then hold the session.

    `User@bot` is the name of a bot password (Special:BotPasswords). Raises `CrawlError` with the wiki's reason if it refuses.
    """
    token = ask(action="query", meta="tokens", type="login")["query"]["tokens"]["logintoken"]
    if "@" in user:
        form = {"lgname": user, "lgpassword": password, "lgtoken": token}
        told = ask(action="login", form=form)["login"]
        passed, reason = told.get("result") == "Success", told.get("reason") or told.get("result")
    else:
        form = {"username": user, "password": password, "logintoken": token, "loginreturnurl": "http://localhost/"}
        told = ask(action="clientlogin", form=form)["clientlogin"]
        passed, reason = told.get("status") == "PASS", _reason(told)
    if not passed:
        raise CrawlError(f"the wiki does not let {user} in: {' '.join(str(reason).split())[:300]}")


def _reason(told: Mapping[str, Any]) -> str:
    if told.get("status") in ("UI", "REDIRECT"):
        return "it asks for more than a password; make a bot password at Special:BotPasswords (--user User@bot)"
    return str(told.get("message") or told.get("status"))
