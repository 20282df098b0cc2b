"""Pages of other sites, in a real browser, that try to use the chat of whoever visits them."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser import open_browser
from demo_server import ANSWER, QUESTION, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

NAMES = "MAP *.ragqa.test 127.0.0.1, MAP evil.example 127.0.0.1"

# what became of each attempt: what was read, or "refused"
ATTACK = """async target => {
  const outcome = {}, attempt = async (name, act) => {
    const late = new Promise(resolve => setTimeout(() => resolve("refused"), 3000));
    outcome[name] = await Promise.race([act().catch(() => "refused"), late]);
  };
  const get = (path, options) => fetch(target + path, {credentials: "include", ...options});
  const event = (source, good, bad) => new Promise((resolve, reject) => {
    source[good] = event => resolve(event.data ?? "loaded"); source[bad] = reject; });
  const include = (kind, property, path) => {
    const element = document.createElement(kind);
    const loaded = event(element, "onload", "onerror");
    if (kind === "link") element.rel = "stylesheet";
    element[property] = target + path;
    document.body.append(element);
    return loaded;
  };
  const json = {"Content-Type": "application/json"}, body = JSON.stringify({question: "dropout?"});
  await attempt("page", async () => (await get("")).text());
  await attempt("config", async () => (await get("config")).text());
  await attempt("post", async () => (await get("gradio_api/call/v2/ask", {method: "POST", body})).text());
  await attempt("json", async () => (await get("gradio_api/call/v2/ask", {method: "POST", body, headers: json})).text());
  await attempt("component", async () => (await get("gradio_api/component_server", {method: "POST", body})).text());
  await attempt("opaque", async () => (await get("config", {mode: "no-cors"})).text() || "refused");
  await attempt("file", async () => (await get("gradio_api/file=/etc/passwd")).text());
  await attempt("stream", () => event(
    new EventSource(target + "gradio_api/queue/data?session_hash=x", {withCredentials: true}), "onmessage", "onerror"));
  await attempt("heartbeat", () => event(
    new EventSource(target + "gradio_api/heartbeat/x", {withCredentials: true}), "onmessage", "onerror"));
  await attempt("socket", () => event(
    new WebSocket(target.replace("http", "ws") + "gradio_api/queue/join"), "onopen", "onerror"));
  await attempt("script", () => include("script", "src", "gradio_api/info"));
  await attempt("style", () => include("link", "href", "theme.css"));
  await attempt("image", () => include("img", "src", "static/img/logo.svg"));
  const form = document.createElement("form"), frame = document.createElement("iframe");
  Object.assign(frame, {name: "frame"});
  Object.assign(form, {action: target + "gradio_api/call/v2/ask", method: "POST", enctype: "text/plain", target: "frame"});
  form.innerHTML = `<input name='{"question": "dropout?", "x": "' value='"}'>`;
  document.body.append(frame, form);
  form.submit();
  await new Promise(resolve => setTimeout(resolve, 500));
  return outcome;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with open_browser(f"--host-resolver-rules={NAMES}") as browser:
        yield browser


@pytest.fixture(scope="module")
def evil_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of another site."""
    folder: Path = tmp_path_factory.mktemp("evil")
    (folder / "index.html").write_text("<!doctype html><title>evil</title><body>Look at these kittens")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    with running() as (_, address):
        yield address.split(":")[2].rstrip("/")


@pytest.fixture(scope="module")
def guarded_port() -> Iterator[str]:
    with running(auth="ada:secret", names="chat.ragqa.test") as (_, address):
        yield address.split(":")[2].rstrip("/")


def attack(context: "BrowserContext", site: str, target: str) -> dict[str, str]:
    """What a page of `site` gets from the chat at `target`; fails if it gets anything but a refusal."""
    page, responses = context.new_page(), []
    page.goto(site)
    page.on("response", lambda response: responses.append(response) if response.url.startswith(target) else None)
    outcome: dict[str, str] = page.evaluate(ATTACK, target)
    page.wait_for_timeout(200)
    for response in responses:
        included = response.request.method == "GET" and "origin" not in response.request.all_headers()
        if not (included and "cross-origin-resource-policy" in response.headers):  # the browser keeps it to itself
            assert response.status == 403, response.url
        assert not [name for name in response.headers if name.startswith("access-control")]
    page.close()
    return outcome


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("site", ["http://127.0.0.1", "http://localhost", "http://evil.example"])
def test_another_site_reads_nothing(browser: "Browser", evil_port: int, port: str, site: str, host: str) -> None:
    context = browser.new_context()
    outcome = attack(context, f"{site}:{evil_port}/", f"http://{host}:{port}/")
    context.close()
    assert set(outcome.values()) == {"refused"}, outcome
    assert len(outcome) == 13


def test_a_name_that_leads_here_reads_nothing(browser: "Browser", port: str) -> None:
    """DNS rebinding: to the browser, the chat belongs to the other site."""
    context = browser.new_context()
    page = context.new_page()
    response = page.goto(f"http://evil.example:{port}/")
    assert response
    assert response.status == 403
    read = "async () => { const r = await fetch('/config'); return [r.status, await r.text()]; }"
    status, text = page.evaluate(read)
    assert status == 403
    assert text.startswith("This server is not called evil.example.")
    context.close()


def test_a_sandboxed_page_reads_nothing(browser: "Browser", port: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.set_content("<iframe sandbox='allow-scripts' srcdoc='<body>x'></iframe>")
    page.wait_for_timeout(300)
    outcome = page.frames[1].evaluate(ATTACK, f"http://127.0.0.1:{port}/")
    context.close()
    assert set(outcome.values()) == {"refused"}, outcome


@pytest.mark.parametrize("sibling", ["evil.ragqa.test", "sub.chat.ragqa.test", "chat.ragqa.test", "evil.example"])
def test_a_sibling_reads_nothing_of_who_has_signed_in(
    browser: "Browser", evil_port: int, guarded_port: str, sibling: str
) -> None:
    chat = f"http://chat.ragqa.test:{guarded_port}/"
    context = browser.new_context()
    page = context.new_page()
    page.goto(chat)
    page.get_by_label("username").fill("ada")
    page.get_by_label("password").fill("secret")
    page.get_by_role("button", name="Login").click()
    page.get_by_placeholder("Ask a question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.locator("#ragqa-chat blockquote", has_text=ANSWER).wait_for()
    cookies = context.cookies()
    assert cookies
    assert {(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies} == {(True, "Strict")}
    outcome = attack(context, f"http://{sibling}:{evil_port}/", chat)
    assert set(outcome.values()) == {"refused"}, outcome
    page.reload()  # the visitor is still signed in
    page.get_by_placeholder("Ask a question").wait_for()
    context.close()


def test_a_link_of_another_site_leads_to_the_page(browser: "Browser", evil_port: int, port: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"http://evil.example:{evil_port}/")
    page.evaluate(f"location.href = 'http://127.0.0.1:{port}/'")
    page.get_by_placeholder("Ask a question").fill(QUESTION)
    page.keyboard.press("Enter")
    page.locator("#ragqa-chat blockquote", has_text=ANSWER).wait_for()
    context.close()
