"""The ``hint`` command, as the process that a terminal starts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from producers import HintPublisher
from relay.broker.presence import PresenceBoard
from relay.broker.streaming import StreamingHints
from relay.messages import Append, Command, Feedback
from relay.position import Position
from tests.support.client import client
from tests.support.process import ROOT, Process, stable_port
from tests.support.relay import local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from tests.support.client import Client

HINT = str(Path(sys.executable).with_name("hint"))


def _environment(**more: str) -> dict[str, str]:
    """Return an environment in which output is plain, 100 columns wide, and nothing is set."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RELAY_") and name not in ("GITHUB_ACTIONS", "FORCE_COLOR")
    }
    return {**kept, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100", **more}


def _run(*words: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [HINT, *words],
        input=stdin,
        capture_output=True,
        env=_environment(**environment),
        cwd=ROOT,
        timeout=30,
        check=False,
    )


async def _hint(
    *words: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    return await asyncio.to_thread(_run, *words, stdin=stdin, **environment)


def _sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the one sentence on stderr; the command must have failed with 1 and printed no more."""
    text = done.stderr.decode()
    assert done.returncode == 1, text
    assert text.startswith("hint: "), text
    assert text.count("\n") == 1, text
    assert done.stdout == b""
    return text


class Tail(Process):
    """``hint tail`` whose both outputs go to one file."""

    def __init__(self, redis_url: str, session: str, *flags: str) -> None:
        super().__init__(
            [HINT, "tail", "--redis-url", redis_url, "--session", session, *flags],
            {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"},
        )


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


def test_help() -> None:
    """``hint --help`` lists all commands, and each has help of its own."""
    text = _run("--help").stdout.decode()
    for command in ("send", "stream", "transcript", "tail", "watch", "history", "replay"):
        assert f" {command} " in text
        done = _run(command, "--help")
        assert done.returncode == 0
        assert "--session" in done.stdout.decode()
        assert "--redis-url" in done.stdout.decode()


def test_as_a_module() -> None:
    """``python -m producers`` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "producers", "--help"],
        capture_output=True, env=_environment(), cwd=ROOT, timeout=30, check=True,
    )  # fmt: skip
    assert "Usage: hint " in done.stdout.decode()


async def test_send(redis_url: str, session_id: str) -> None:
    """``hint send`` prints the position of what a facilitator gets."""
    async with local_relay(redis_url) as relay, client(relay.ws_url, session_id) as facilitator:
        done = await _hint(
            "send", "--redis-url", redis_url, "--session", session_id, "--priority", "high",
            "--category", "pacing", "--source", "coach", "--id", "h-1", "[bold]Breathe.[/bold]",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        hint = await facilitator.next()
        assert hint.pop("timestamp") == pytest.approx(time.time(), abs=30)
        assert hint == {
            "position": done.stdout.decode().strip(),
            "type": "hint",
            "id": "h-1",
            "text": "[bold]Breathe.[/bold]",
            "priority": "high",
            "category": "pacing",
            "source": "coach",
        }


async def test_send_an_id_twice(redis_url: str, session_id: str) -> None:
    """Sending an id again prints the same position."""
    flags = ("--redis-url", redis_url, "--session", session_id, "--id", "h-1")
    first = await _hint("send", *flags, "a")
    again = await _hint("send", *flags, "a")
    assert Position.parse(first.stdout.decode().strip()).offset == 1
    assert again.stdout == first.stdout


async def test_send_from_standard_input(redis_url: str, session_id: str) -> None:
    """``-`` reads the text from standard input; the address comes from RELAY_REDIS_URL."""
    async with local_relay(redis_url) as relay, client(relay.ws_url, session_id) as facilitator:
        done = await _hint(
            "send", "--session", session_id, "-",
            stdin="Ask what the letter\nsmelled like. 🙂\n".encode(), RELAY_REDIS_URL=redis_url,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert await facilitator.texts(1) == ["Ask what the letter\nsmelled like. 🙂"]


def test_the_flag_wins_over_the_variable(redis_url: str, session_id: str) -> None:
    """``--redis-url`` wins over RELAY_REDIS_URL."""
    nowhere = f"redis://127.0.0.1:{stable_port()}/0"
    done = _run("send", "--redis-url", redis_url, "-s", session_id, "x", RELAY_REDIS_URL=nowhere)
    assert done.returncode == 0, done.stderr


async def test_transcript(redis_url: str, session_id: str) -> None:
    """``hint transcript`` sends what was said, and by whom."""
    async with local_relay(redis_url) as relay, client(relay.ws_url, session_id) as facilitator:
        done = await _hint(
            "transcript", "--redis-url", redis_url, "--session", session_id, "--speaker", "Mara",
            "I knew the handwriting.",
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        line = await facilitator.next()
        assert line["position"] == done.stdout.decode().strip()
        assert (line["type"], line["speaker"]) == ("transcript", "Mara")
        assert line["text"] == "I knew the handwriting."


async def test_tail(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """``hint tail`` shows kept, then live messages, and Ctrl-C ends it with 130 and no traceback."""
    await publisher.transcript(session_id, "I knew.", speaker="Mara")
    with Tail(redis_url, session_id) as tail:
        await asyncio.to_thread(tail.wait_for_output, "I knew.")
        assert "Mara" in tail.output
        await publisher.hint(session_id, "[b]Breathe.[/b]", priority="high")
        await publisher.error(session_id, "The model is busy.")
        await asyncio.to_thread(tail.wait_for_output, "The model is busy.")
        assert "[b]Breathe.[/b]" in tail.output
        tail.send(signal.SIGINT)
        assert await asyncio.to_thread(tail.wait) == 130
        assert "Traceback" not in tail.output


async def test_tail_json(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """``--json`` prints one message a line and nothing else, each at once, until Ctrl-C."""
    for n in range(3):
        await publisher.hint(session_id, f"kept {n}")
    with Tail(redis_url, session_id, "--json", "--replay", "1") as tail:
        await asyncio.to_thread(tail.wait_for_output, "kept 2")
        sent = await publisher.hint(session_id, "two\nlines 🙂")
        await asyncio.to_thread(tail.wait_for_output, sent.id)
        tail.send(signal.SIGINT)
        assert await asyncio.to_thread(tail.wait) == 130
        messages = [json.loads(line) for line in tail.output.splitlines()]
    assert [message["type"] for message in messages] == ["connection", "hint", "hint"]
    assert [message["text"] for message in messages[1:]] == ["kept 2", "two\nlines 🙂"]
    assert messages[-1]["position"] == str(sent.position)


async def test_tail_shows_whatever_comes(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """No message that may be published ends ``hint tail``, whatever its fields hold."""
    await publisher.hint(session_id, "milliseconds", timestamp=1_763_900_000_000.0)
    await publisher._broker.publish_live(
        f"hints:{session_id}", b'{"type":["x"],"text":{"a":1},"timestamp":"now"}'
    )
    with Tail(redis_url, session_id) as tail:
        await asyncio.to_thread(tail.wait_for_output, "waiting for hints")
        await asyncio.to_thread(tail.wait_for_output, "milliseconds")
        await publisher._broker.publish_live(
            f"hints:{session_id}", b'{"type":["x"],"text":{"a":1},"speaker":7,"timestamp":"now"}'
        )
        await publisher._broker.publish_live(
            f"hints:{session_id}", b'{"type":"hint","priority":[],"timestamp":-1e300}'
        )
        await publisher.hint(session_id, "still here")
        await asyncio.to_thread(tail.wait_for_output, "still here")


async def test_tail_since(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """``--since`` shows exactly what came after that position, then goes on live."""
    sent = [await publisher.hint(session_id, f"hint {n}") for n in range(3)]
    with Tail(redis_url, session_id, "--since", str(sent[0].position)) as tail:
        await asyncio.to_thread(tail.wait_for_output, "hint 2")
        await publisher.hint(session_id, "live")
        await asyncio.to_thread(tail.wait_for_output, "live")
        assert "hint 0" not in tail.output
        assert "hint 1" in tail.output


async def test_history(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """``hint history`` shows what is kept, folded, after a position or the newest few, and ends."""
    sent = [await publisher.hint(session_id, f"hint {n}") for n in range(3)]
    for words, final in (("I ne", False), ("I never", True)):
        await publisher.transcript(session_id, words, speaker="Mara", id="t", final=final)
    base = ("history", "--redis-url", redis_url, "--session", session_id)

    done = await _hint(*base, "--json")
    messages = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [m["text"] for m in messages] == ["hint 0", "hint 1", "hint 2", "I never"]

    done = await _hint(*base, "--since", str(sent[1].position))
    assert [line.split(maxsplit=2)[2] for line in done.stdout.decode().splitlines()] == [
        "hint 2",
        "I never",
    ]
    done = await _hint(*base, "--limit", "1")
    assert done.stdout.decode().count("\n") == 1


class Stream:
    """``hint stream`` behind a pipe, as a shell starts it."""

    def __init__(self, redis_url: str, session: str, *flags: str) -> None:
        reading, self.writing = os.pipe()
        self.process = subprocess.Popen(
            [HINT, "stream", "--redis-url", redis_url, "--session", session, *flags],
            stdin=reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(), cwd=ROOT,
        )  # fmt: skip
        os.close(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.close()

    def close(self) -> None:
        """End the input."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def outcome(self) -> tuple[int, str, str]:
        """Wait for the end; returns the exit code and both outputs."""
        output, errors = self.process.communicate(timeout=15)
        return self.process.returncode, output.decode(), errors.decode()


async def _grown(facilitator: Client, text: str) -> None:
    """Read until the hint that grows has this text."""
    got = (await facilitator.next_of("hint"))["text"]
    while got != text:
        got += (await facilitator.next_of("append"))["text"]
        assert text.startswith(got)


async def test_stream(redis_url: str, session_id: str) -> None:
    """``hint stream`` sends what comes while it comes, and prints the position of the whole."""
    async with local_relay(redis_url) as relay, client(relay.ws_url, session_id) as facilitator:
        with Stream(redis_url, session_id, "--id", "h-1", "--category", "pacing") as stream:
            os.write(stream.writing, "\n Ask 🙂".encode())
            await _grown(facilitator, "Ask 🙂")
            # The emoji in two halves; no line ends in between.
            os.write(stream.writing, " what 🙂".encode()[:-2])
            os.write(stream.writing, "🙂\n".encode()[2:])
            stream.close()
            code, output, errors = await asyncio.to_thread(stream.outcome)
            assert (code, errors) == (0, "")
    done = await _hint("history", "--redis-url", redis_url, "-s", session_id, "--json")
    kept = json.loads(done.stdout)
    assert kept["text"] == "Ask 🙂 what 🙂"
    assert (kept["id"], kept["category"], kept["status"]) == ("h-1", "pacing", "complete")
    assert kept["position"] == output.strip()


async def test_stream_that_is_cancelled(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A cancelled ``hint stream`` ends with 3 while its input goes on, and the writer gets SIGPIPE."""
    with Stream(redis_url, session_id, "--id", "h-1") as stream:
        os.write(stream.writing, b"Ask")
        async with asyncio.timeout(15):
            async for message in publisher.listen(session_id, Position(1, 1)):
                if isinstance(message, Append):
                    break
        command = Command(name="cancel", hint="h-1", by="guest-a")
        # As a relay does it: who does not listen yet learns it with its next step.
        await StreamingHints(publisher._broker).request_cancel(session_id, "h-1")
        await publisher._broker.publish(session_id, command.to_json(), command.id)
        code, output, errors = await asyncio.to_thread(stream.outcome)
        assert code == 3
        assert Position.parse(output.strip()).offset > 1
        assert "cancelled" in errors
        with pytest.raises(BrokenPipeError):
            os.write(stream.writing, b"more")


async def test_stream_ends_on_ctrl_c(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """Ctrl-C interrupts the hint, says so, and ends with 130."""
    with Stream(redis_url, session_id) as stream:
        os.write(stream.writing, b"Ask")
        async with asyncio.timeout(15):
            async for message in publisher.listen(session_id, Position(1, 1)):
                if isinstance(message, Append):
                    break
        stream.process.send_signal(signal.SIGINT)
        code, output, errors = await asyncio.to_thread(stream.outcome)
        assert (code, output) == (130, "")
        assert errors.startswith("Interrupted")
        assert "Traceback" not in errors
    done = await _hint("history", "--redis-url", redis_url, "-s", session_id)
    assert "Ask (interrupted)" in done.stdout.decode()


def test_stream_of_what_is_not_text(redis_url: str, session_id: str) -> None:
    """Bytes that are no UTF-8 are one sentence, and the hint is interrupted with what came before."""
    flags = ("--redis-url", redis_url, "-s", session_id)
    assert "UTF-8" in _sentence(_run("stream", *flags, stdin=b"Ask" + b" " * 5000 + b"\xff"))
    assert b"Ask (interrupted)" in _run("history", *flags).stdout


def test_stream_of_too_much(redis_url: str, session_id: str) -> None:
    """A text that outgrows a message is one sentence."""
    flags = ("--redis-url", redis_url, "-s", session_id)
    assert "65,536 are allowed" in _sentence(_run("stream", *flags, stdin=b"x" * 70_000))


async def test_watch(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """``hint watch`` shows who is there, and what they say of which hint, until Ctrl-C."""
    await publisher.hint(session_id, "Ask what the letter smelled like.", id="h-1")
    words = [HINT, "watch", "--redis-url", redis_url, "--session", session_id]
    environment = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    board = PresenceBoard(publisher._broker)
    with Process(words, environment) as watch, Process([*words, "--json"], environment) as as_json:
        await asyncio.to_thread(watch.wait_for_output, "no facilitators")
        await asyncio.to_thread(as_json.wait_for_output, "presence")
        await board.report(session_id, "relay-1", {"guest-a"})
        await asyncio.to_thread(watch.wait_for_output, "1 facilitator")
        await asyncio.to_thread(as_json.wait_for_output, '"facilitators":1')
        await publisher.hint(session_id, "Slow down.", id="h-2")
        for said in (
            Feedback(hint="h-1", action="used", by="guest-a"),
            Feedback(hint="h-2", action="dismissed", by="guest-a"),
            Command(name="steer", text="More.", by="guest-a"),
        ):
            await publisher._broker.publish(session_id, said.to_json(), said.id)
        await asyncio.to_thread(watch.wait_for_output, "More.")
        await asyncio.to_thread(as_json.wait_for_output, "More.")
        for process in (watch, as_json):
            process.send(signal.SIGINT)
            assert await asyncio.to_thread(process.wait) == 130
            assert "Traceback" not in process.output
        lines = [line[10:] for line in watch.output.splitlines()]
        assert lines[1:] == [
            "watching    no facilitators",
            "watching    1 facilitator",
            "feedback    guest-a  used “Ask what the letter smelled like.”",
            "feedback    guest-a  dismissed “Slow down.”",
            "command     guest-a  steer: More.",
        ]
        messages = [json.loads(line) for line in as_json.output.splitlines()]
    kinds = [message["type"] for message in messages]
    assert kinds == ["presence", "presence", "feedback", "feedback", "command"]
    assert messages[2]["position"].endswith("-3")


async def test_tail_of_a_hint_that_grows(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """``hint tail`` shows that a hint is being written, and all of it when it ends."""
    with Tail(redis_url, session_id) as tail:
        await asyncio.to_thread(tail.wait_for_output, "waiting for hints")
        async with publisher.stream_hint(session_id) as hint:
            await asyncio.to_thread(tail.wait_for_output, "still being written")
            await hint.append("Ask ")
            await asyncio.sleep(0.1)
            await hint.append("what.")
        await asyncio.to_thread(tail.wait_for_output, "Ask what.")
        assert tail.output.count("Ask") == 1


async def test_history_that_is_gone(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A position of another log is told to be gone; an empty session is told to be empty."""
    base = ("history", "--redis-url", redis_url, "--session", session_id)
    done = await _hint(*base)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Nothing is kept" in done.stderr
    await publisher.hint(session_id, "kept")
    done = await _hint(*base, "--since", "1000-1")
    assert b"gone" in done.stderr
    assert b"kept" in done.stdout
    assert "not a position" in _sentence(await _hint(*base, "--since", "yesterday"))


def _read_one_line_and_leave(words: list[str]) -> tuple[subprocess.Popen[bytes], bytes]:
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(), cwd=ROOT
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    return process, line


@pytest.mark.parametrize("flags", [["--json"], []], ids=["json", "text"])
async def test_tail_into_a_closed_pipe(
    publisher: HintPublisher, redis_url: str, session_id: str, flags: list[str]
) -> None:
    """``hint tail … | head -1`` ends with the reader, and that is no error."""
    await publisher.hint(session_id, "first")
    words = [HINT, "tail", "--redis-url", redis_url, "--session", session_id, *flags]
    process, line = await asyncio.to_thread(_read_one_line_and_leave, words)
    try:
        assert line
        for n in range(3):
            await publisher.hint(session_id, f"nobody reads {n}")
        code = await asyncio.to_thread(process.wait, 15)
        assert process.stderr is not None
        stderr = await asyncio.to_thread(process.stderr.read)
        assert b"Traceback" not in stderr
        assert b"BrokenPipe" not in stderr
        assert code == 0
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


async def test_replay_the_sample(redis_url: str, session_id: str) -> None:
    """``hint replay --sample`` plays the sample rehearsal, and prints each line."""
    async with local_relay(redis_url) as relay, client(relay.ws_url, session_id) as facilitator:
        done = await _hint(
            "replay", "--sample", "--speed", "1000", "-s", session_id, "--redis-url", redis_url
        )
        assert (done.returncode, done.stderr) == (0, b"")
        lines = done.stdout.decode().splitlines()
        for line in lines:
            message = await facilitator.next()
            text = message["text"]
            if message.get("status") == "streaming":
                while message.get("status") != "complete":
                    message = await facilitator.next()
                    text += message["text"]
            assert line.startswith(message["position"])
            assert line.endswith(text)
        assert len(lines) > 10


async def test_replay_ends_on_ctrl_c(redis_url: str, session_id: str) -> None:
    """Ctrl-C ends a looping replay with 130 and no traceback."""
    words = [HINT, "replay", "--sample", "--loop", "-s", session_id, "--redis-url", redis_url]
    with Process(words) as replay:
        await asyncio.to_thread(replay.wait_for_output, "kitchen")
        replay.send(signal.SIGINT)
        assert await asyncio.to_thread(replay.wait) == 130
        assert "Traceback" not in replay.output


def test_replay_names_the_wrong_line(redis_url: str, session_id: str, tmp_path: Path) -> None:
    """A wrong recording is refused as a whole, and the sentence names the line."""
    recording = tmp_path / "recording.jsonl"
    recording.write_text('{"at_s": 0, "type": "hint", "text": "x"}\nhello\n')
    done = _run("replay", str(recording), "-s", session_id, "--redis-url", redis_url)
    assert "Line 2" in _sentence(done)


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "recording.jsonl"), (b"\xff\xfe\x00", "")],
    ids=["no such file", "not text"],
)
def test_replay_of_no_recording(
    redis_url: str, session_id: str, tmp_path: Path, content: bytes | None, word: str
) -> None:
    """A recording that is not there, or is no text, is one sentence."""
    recording = tmp_path / "recording.jsonl"
    if content is not None:
        recording.write_bytes(content)
    done = _run("replay", str(recording), "-s", session_id, "--redis-url", redis_url)
    assert word in _sentence(done)


def test_replay_of_a_line_with_a_session(redis_url: str, session_id: str, tmp_path: Path) -> None:
    """A recorded line that names its session is played or refused, without a traceback."""
    recording = tmp_path / "recording.jsonl"
    recording.write_text('{"at_s": 0, "type": "hint", "text": "x", "session": "elsewhere"}\n')
    done = _run("replay", str(recording), "-s", session_id, "--redis-url", redis_url)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 1)


def test_replay_of_nothing() -> None:
    """``hint replay`` says that it wants a recording or the sample."""
    assert "--sample" in _sentence(_run("replay", "-s", "demo"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["send", "-s", "a/b", "x"], "'a/b' is not a session id"),
        (["transcript", "-s", "", "x"], "is not a session id"),
        (["tail", "-s", "a b"], "'a b' is not a session id"),
        (["replay", "--sample", "-s", "é"], "is not a session id"),
        (["send", "-s", "demo", "--priority", "urgent", "x"], "'priority'"),
        (["send", "-s", "demo", "--id", "", "x"], "'id'"),
        (["stream", "-s", "a/b"], "'a/b' is not a session id"),
        (["stream", "-s", "demo", "--priority", "urgent"], "'priority'"),
        (["stream", "-s", "demo"], "Standard input was empty"),
        (["watch", "-s", "a b"], "'a b' is not a session id"),
        (["send", "-s", "demo", "x" * 70_000], "65,536 are allowed"),
        (["send", "-s", "demo", "-"], "Standard input was empty"),
        (["send", "-s", "demo", "\udcff"], ""),
    ],
    ids=lambda value: None if isinstance(value, list) else value or "not UTF-8",
)
def test_what_is_refused(redis_url: str, words: list[str], told: str) -> None:
    """What is wrong with the command is one sentence on stderr, and the exit code is 1."""
    assert told in _sentence(_run(*words, "--redis-url", redis_url))


def test_standard_input_that_is_not_text(redis_url: str, session_id: str) -> None:
    """Bytes on standard input that are no UTF-8 are refused with one sentence."""
    _sentence(_run("send", "-s", session_id, "-", "--redis-url", redis_url, stdin=b"\xff\xfe"))


@pytest.mark.parametrize("command", ["send", "stream", "tail", "watch"])
@pytest.mark.parametrize("url", ["http://127.0.0.1", "redis://127.0.0.1:port/0", "nonsense"])
def test_a_bad_address(command: str, url: str) -> None:
    """An address that is none is one sentence."""
    words = ["x"] if command == "send" else []
    _sentence(_run(command, "-s", "demo", "--redis-url", url, *words))


def test_redis_is_away() -> None:
    """Without a Redis every command says so in one sentence and fails."""
    url = f"redis://127.0.0.1:{stable_port()}/0"
    assert "Redis is not available" in _sentence(_run("tail", "-s", "demo", "--redis-url", url))
    assert "Redis is not available" in _sentence(_run("watch", "-s", "demo", "--redis-url", url))
    assert "Redis is not available" in _sentence(
        _run("send", "-s", "demo", "x", RELAY_REDIS_URL=url)
    )
    assert "Redis is not available" in _sentence(
        _run("stream", "-s", "demo", stdin=b"x", RELAY_REDIS_URL=url)
    )
