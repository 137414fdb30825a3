"""What a message over WebSocket means, how fast is too fast, who waits, and whose token it is."""

import asyncio
import socket

import pytest
from pydantic import SecretStr

from ingestion.listen.limits import Bucket, Pace, Room
from ingestion.listen.protocol import Refusal, read_frame, read_hello
from ingestion.listen.server import CannotListen, listen
from ingestion.listen.tokens import NoTokens, bearer, read_tokens
from lake.settings import Settings

LONG = "0123456789abcdef"


def test_a_frame_without_a_count_is_one_record_whatever_its_bytes() -> None:
    frame = read_frame(b"17\na\nb\n\xff\n", 5)
    assert (frame.first, frame.next, frame.received_ns) == (17, 18, 5)
    assert frame.records() == [b"a\nb\n\xff\n"]


@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"0 3\na\nb\nc", [b"a", b"b", b"c"]),
        (b"0 3\na\nb\nc\n", [b"a", b"b", b"c"]),
        (b"0 3\n\n\n\n", [b"", b"", b""]),
        (b"0 2\na\n\n", [b"a", b""]),
        (b"0 1\n", [b""]),
    ],
)
def test_a_batch_is_its_lines_with_or_without_a_last_line_break(
    body: bytes, records: list[bytes]
) -> None:
    assert read_frame(body, 0).records() == records


def test_what_is_behind_a_position_keeps_its_numbers() -> None:
    frame = read_frame(b"10 4\na\nb\nc\nd", 0)
    for position, first, records in ((8, 10, b"abcd"), (12, 12, b"cd"), (14, 14, b"")):
        rest = frame.behind(position)
        assert (rest.first, rest.next) == (first, 14)
        assert rest.records() == [bytes([byte]) for byte in records]
    assert frame.behind(11).behind(13).records() == [b"d"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"17",
        b"{}",
        b"\n{}",
        b"-1\n{}",
        b"007\n{}",
        b"1 0\n",
        b"1 02\n{}",
        b"1  1\n{}",
        b"1 2\n{}",
        b"1 2\n{}\n{}\n{}",
        b"1 1\r\n{}",
        b"1" * 19 + b"\n{}",
        b" " * 100 + b"\n{}",
    ],
)
def test_a_message_that_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_frame(data, 0)
    assert (refused.value.code, refused.value.word) == (1007, "frame")


def test_a_greeting_names_a_dataset_a_topic_or_an_alias() -> None:
    for text in (
        b'{"dataset":"trades"}',
        b'{"topic":"market.trades.v1"}',
        b'{"topic":"trax-trades"}',
    ):
        contract, token = read_hello(text)
        assert (contract.dataset, token) == ("trades", None)
    assert read_hello(b'{"dataset":"quotes","token":"t"}')[1] == "t"


def test_a_greeting_that_is_refused_does_not_show_its_token() -> None:
    with pytest.raises(Refusal) as refused:
        read_hello(b'{"token":"secret-secret","dataset":5}')
    assert "secret" not in refused.value.text()
    assert refused.value.__cause__ is None


def test_a_client_may_have_two_tokens_while_one_is_replaced() -> None:
    tokens = read_tokens(SecretStr(f"desk:{LONG}1, desk:{LONG}2,feed:{LONG}3"))
    names = [tokens.name_of(LONG + end) for end in ("1", "2", "3", "4", "")]
    assert names == ["desk", "desk", "feed", None, None]
    assert tokens.name_of("Ünïcode 株") is None
    assert LONG not in repr(tokens)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (None, "is empty"),
        ("", "is empty"),
        (" , ", "is empty"),
        (LONG, "pair 1 is not written name:token"),
        (f"desk:{LONG},feed:", "pair 2 is not written"),
        (f"a/b:{LONG}", "the name of pair 1"),
        ("desk:short", "the token of desk is shorter than 16"),
        (f"desk:{LONG},feed:{LONG}", "two pairs have the same token"),
    ],
)
def test_tokens_that_cannot_be_used_are_named_and_not_shown(setting: str | None, says: str) -> None:
    with pytest.raises(NoTokens, match=says) as refused:
        read_tokens(None if setting is None else SecretStr(setting))
    assert LONG not in str(refused.value)
    assert "short'" not in str(refused.value)


def test_only_a_bearer_header_holds_a_token() -> None:
    headers = (None, "Bearer abc", "bearer  abc ", "Basic abc", "")
    assert [bearer(header) for header in headers] == [None, "abc", "abc", "", ""]


def test_a_bucket_tells_once_and_stops_who_overdraws_by_another_burst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("ingestion.listen.limits.time.monotonic", lambda: now)
    bucket = Bucket(10)
    assert [bucket.spend(n) for n in (6, 4, 5, 10)] == [Pace.FINE, Pace.FINE, Pace.TELL, Pace.FINE]
    assert bucket.wait_s == 1.5
    assert bucket.spend(1) is Pace.STOP
    assert bucket.wait_s == 1.5  # what was not taken costs nothing
    now += 1.5
    assert (bucket.wait_s, bucket.spend(1)) == (0.0, Pace.TELL)
    now += 1_000.0
    assert [bucket.spend(n) for n in (10, 1)] == [Pace.FINE, Pace.TELL]  # a burst is all it saves


def test_room_is_given_in_the_order_it_was_asked_for() -> None:
    async def scene() -> list[str]:
        room, came = Room(10), list[str]()

        async def take(name: str, amount: int) -> None:
            await room.take(amount)
            came.append(name)

        await room.take(8)
        waiting = [asyncio.create_task(take(n, a)) for n, a in (("a", 9), ("b", 1), ("c", 30))]
        await asyncio.sleep(0)
        assert came == []  # b would fit, but a was first
        room.give(8)
        await asyncio.sleep(0)
        assert (came, room.used) == (["a", "b"], 10)
        room.give(10)
        await asyncio.gather(*waiting)
        assert room.used == 30  # more than there is, when there is nothing else
        return came

    assert asyncio.run(scene()) == ["a", "b", "c"]


@pytest.mark.parametrize("freed_before_cancel", [True, False])
def test_who_stops_waiting_for_room_leaves_it_to_the_next(freed_before_cancel: bool) -> None:
    async def scene() -> None:
        room = Room(10)
        await room.take(10)
        first = asyncio.create_task(room.take(10))
        second = asyncio.create_task(room.take(7))
        await asyncio.sleep(0)
        if freed_before_cancel:
            room.give(10)  # its turn has come, and it does not know yet
        first.cancel()
        if not freed_before_cancel:
            room.give(10)
        await second
        assert first.cancelled()
        assert room.used == 7
        room.give(7)
        assert room.used == 0

    asyncio.run(scene())


def test_an_address_that_is_taken_is_named_with_its_settings(lake: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        tokens = SecretStr(f"desk:{LONG}")
        settings = lake.model_copy(update={"listen_port": port, "listen_tokens": tokens})
        with pytest.raises(CannotListen, match=f"port {port}.*TICKLAKE_LISTEN_PORT"):
            listen(settings)
