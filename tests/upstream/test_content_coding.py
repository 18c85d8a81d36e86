from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.upstream.answer import MalformedAnswer
from router.upstream.content_coding import MAX_PIECE_BYTES, Decoder, decoder_of

TEXT = b"".join(b"line %d\n" % number for number in range(500))


def _raw_deflate(data: bytes, level: int = 6) -> bytes:
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


CODED = [
    ("gzip", gzip.compress(TEXT)),
    ("x-gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:])),
    ("deflate", zlib.compress(TEXT)),
    ("deflate", _raw_deflate(TEXT)),
    ("deflate", _raw_deflate(TEXT, 0)),
]


@given(st.sampled_from(CODED), st.lists(st.integers(0, 5000)))
def test_a_coded_body_is_the_same_however_it_is_cut(coded: tuple[str, bytes], cuts: list[int]) -> None:
    coding, data = coded
    edges = [0, *sorted(cut % (len(data) + 1) for cut in [*cuts, 1]), len(data)]
    decoder = Decoder(coding)
    pieces = [b"".join(decoder.decode(data[a:b])) for a, b in pairwise(edges) if a < b]
    decoder.finish()
    assert b"".join(pieces) == TEXT


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_bomb_comes_out_in_small_pieces(coding: str, pack: Callable[[bytes], bytes]) -> None:
    size = 50 * 1024 * 1024
    decoder = Decoder(coding)
    sizes = [len(piece) for piece in decoder.decode(pack(bytes(size)))]
    decoder.finish()
    assert max(sizes) <= MAX_PIECE_BYTES
    assert sum(sizes) == size


@pytest.mark.parametrize(("coding", "data"), CODED)
def test_a_coded_body_that_is_cut_short_is_refused(coding: str, data: bytes) -> None:
    for length in (1, len(data) // 2, len(data) - 1):
        decoder = Decoder(coding)
        list(decoder.decode(data[:length]))
        with pytest.raises(MalformedAnswer):
            decoder.finish()


def test_a_coded_answer_may_have_no_body() -> None:
    Decoder("gzip").finish()


def _outcome(decoder: Decoder, pieces: list[bytes]) -> str:
    try:
        for piece in pieces:
            list(decoder.decode(piece))
        decoder.finish()
    except MalformedAnswer:
        return "refused"
    return "decoded"


@given(st.sampled_from(["gzip", "deflate"]), st.lists(st.binary(min_size=1, max_size=50)))
def test_a_body_that_is_not_coded_as_it_says_has_its_error(coding: str, pieces: list[bytes]) -> None:
    assert _outcome(Decoder(coding), pieces) in {"decoded", "refused"}


def test_bytes_behind_a_coded_body_are_refused() -> None:
    for coding, data in CODED[:4]:
        with pytest.raises(MalformedAnswer):
            list(Decoder(coding).decode(data + b"more"))


@pytest.mark.parametrize("value", [b"br", b"zstd", b"gzip, gzip", b"\xff"])
def test_an_unknown_coding_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        decoder_of({b"content-encoding": value})


@pytest.mark.parametrize("headers", [{}, {b"content-encoding": b" Identity "}, {b"content-encoding": b""}])
def test_no_coding_needs_no_decoder(headers: dict[bytes, bytes]) -> None:
    assert decoder_of(headers) is None
