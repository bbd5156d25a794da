"""The built page, served by the relay itself."""

from __future__ import annotations

import asyncio
import http.client
from typing import TYPE_CHECKING, NamedTuple

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.client import client
from tests.support.relay import LocalRelay, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_FILES = {
    "index.html": "the first page",
    "404.html": "the page's own 404",
    "icon.svg": "<svg/>",
    # Next's export has a file and a folder of one name.
    "session/facilitator.html": "the facilitator's page",
    "session/facilitator.txt": "its data",
    "session/facilitator/__next._tree.txt": "more of its data",
    "docs/index.html": "a folder with a page of its own",
    "_next/static/app.js": "1;",
    # Never served: the relay's own addresses win.
    "ws.html": "not the socket",
    "health/live": "not the truth",
    "health/live.html": "not the truth",
    "health/ready.html": "not the truth",
    "metrics.html": "not the metrics",
}


class Answer(NamedTuple):
    """What the relay answered."""

    status: int
    headers: dict[str, str]
    text: str


def _get_now(port: int, target: str, method: str) -> Answer:
    # http.client sends the target as it is; others resolve the dots first.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, target)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, headers, answer.read().decode())
    finally:
        connection.close()


async def _get(relay: LocalRelay, target: str, method: str = "GET") -> Answer:
    return await asyncio.to_thread(_get_now, relay.port, target, method)


@pytest.fixture
def page_dir(tmp_path: Path) -> Path:
    """A page as Next exports it, beside a file that is nobody's business."""
    page = tmp_path / "out"
    for name, text in _FILES.items():
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        (page / name).write_text(text)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "out-secret").mkdir()
    (tmp_path / "out-secret" / "index.html").write_text("secret")
    return page


@pytest.fixture
async def relay(redis_url: str, page_dir: Path) -> AsyncIterator[LocalRelay]:
    """A relay with a page."""
    async with local_relay(redis_url, page_dir=page_dir) as relay:
        yield relay


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/", "index.html"),
        ("/?session=demo", "index.html"),
        ("/index.html", "index.html"),
        ("/icon.svg", "icon.svg"),
        ("/_next/static/app.js", "_next/static/app.js"),
        ("/session/facilitator", "session/facilitator.html"),
        ("/session/facilitator/", "session/facilitator.html"),
        ("/session/facilitator?session=demo", "session/facilitator.html"),
        ("/session/facilitator.html", "session/facilitator.html"),
        ("/session/facilitator.txt?_rsc=1", "session/facilitator.txt"),
        ("/session/facilitator/__next._tree.txt", "session/facilitator/__next._tree.txt"),
        ("/docs/", "docs/index.html"),
    ],
)
async def test_files(relay: LocalRelay, target: str, name: str) -> None:
    """An address finds its file, its page, or its folder's page, without a redirect."""
    answer = await _get(relay, target)
    assert (answer.status, answer.text) == (200, _FILES[name])


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("DELETE", "/sessions/demo/messages", {"GET", "HEAD", "POST"}),
        ("GET", "/sessions/demo/disconnect", {"POST"}),
        ("POST", "/events", {"GET", "HEAD"}),
    ],
)
async def test_wrong_methods(
    relay: LocalRelay, method: str, target: str, allowed: set[str]
) -> None:
    """A wrong method at one of the relay's own addresses is refused there, and not by the page."""
    answer = await _get(relay, target, method)
    assert answer.status == 405
    assert answer.headers["content-type"] == "application/problem+json"
    assert {one.strip() for one in answer.headers["allow"].split(",")} == allowed


async def test_the_query_outlives_a_redirect(relay: LocalRelay) -> None:
    """When a folder's address lacks its slash, the redirect keeps the query."""
    answer = await _get(relay, "/docs?session=demo&since=1-2")
    assert answer.status in (307, 308)
    assert answer.headers["location"].endswith("/docs/?session=demo&since=1-2")


async def test_types(relay: LocalRelay) -> None:
    """A page is sent as HTML, a script as a script."""
    page = await _get(relay, "/session/facilitator?session=demo")
    assert page.headers["content-type"].startswith("text/html")
    script = await _get(relay, "/_next/static/app.js")
    assert "javascript" in script.headers["content-type"]


@pytest.mark.parametrize(
    "target",
    [
        "/nothing",
        "/session",
        "/session/",
        "/session/nobody?session=demo",
        "/nothing.html",
        "/nothing/",
        "/%ff%fe",
        "/session/facilitator.html/x",
    ],
)
async def test_unknown_addresses(relay: LocalRelay, target: str) -> None:
    """Whatever is not there is the page's own 404."""
    answer = await _get(relay, target)
    assert (answer.status, answer.text) == (404, _FILES["404.html"])


@pytest.mark.parametrize(
    "target", ["/" + "x" * 300, "/a%00b", "/%00"], ids=["long", "a\\0b", "\\0"]
)
async def test_what_no_file_can_be_called(relay: LocalRelay, target: str) -> None:
    """A name that the file system refuses is a 404, too."""
    assert (await _get(relay, target)).status == 404


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/..%2fsecret",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret",
        "/session/..%2f..%2fsecret.txt",
        "/session/../../secret.txt",
        "/..%5csecret.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/..%2fout-secret/",
        "/..%2fout-secret%2findex",
        "/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    ],
)
async def test_nothing_outside_the_folder(relay: LocalRelay, target: str) -> None:
    """No spelling of an address leads out of the folder."""
    answer = await _get(relay, target)
    assert answer.status == 404
    assert "secret" not in answer.text
    assert "root:" not in answer.text


async def test_a_link_out_of_the_folder(relay: LocalRelay, page_dir: Path) -> None:
    """A symbolic link that leads out of the folder is not followed."""
    (page_dir / "link.txt").symlink_to(page_dir.parent / "secret.txt")
    assert (await _get(relay, "/link.txt")).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_methods(relay: LocalRelay, method: str) -> None:
    """A page can only be read."""
    assert (await _get(relay, "/", method)).status == 405
    assert (await _get(relay, "/session/facilitator", method)).status == 405


async def test_head(relay: LocalRelay) -> None:
    """HEAD answers what GET would, without the page."""
    answer = await _get(relay, "/session/facilitator", "HEAD")
    assert (answer.status, answer.text) == (200, "")
    assert answer.headers["content-length"] == str(len(_FILES["session/facilitator.html"]))


async def test_the_relay_wins(relay: LocalRelay, session_id: str) -> None:
    """The relay's own addresses are not hidden by files of their names."""
    assert (await _get(relay, "/health/live")).text == '{"status":"live"}'
    assert "probe_age_s" in (await _get(relay, "/health/ready")).text
    assert "hint_relay_connections" in (await _get(relay, "/metrics")).text
    async with client(relay.ws_url, session_id):
        pass


async def test_a_socket_at_another_address(relay: LocalRelay) -> None:
    """A WebSocket elsewhere is refused with 403 as without a page, and is no failure of ours."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(f"ws://127.0.0.1:{relay.port}/other", proxy=None):
            pass
    assert refusal.value.response.status_code == 403


async def test_without_a_page(redis_url: str) -> None:
    """A relay without a page answers 404 at /, and its own addresses."""
    async with local_relay(redis_url) as relay:
        assert (await _get(relay, "/")).status == 404
        assert (await _get(relay, "/health/live")).status == 200


async def test_a_page_without_a_404(redis_url: str, page_dir: Path) -> None:
    """A page that has no 404.html leaves a plain 404."""
    (page_dir / "404.html").unlink()
    async with local_relay(redis_url, page_dir=page_dir) as relay:
        assert (await _get(relay, "/nothing")).status == 404
        assert (await _get(relay, "/session")).status == 404
        assert (await _get(relay, "/session/facilitator")).text == "the facilitator's page"
