"""Auth files to test with: hashes of "secret" and "other", and lines of every kind."""

from hypothesis import strategies as st

# Written out, for the names of the tests hold them: the workers of pytest-xdist compare the names.
HASH = "$2y$04$hV6igGLATftRDg1OkxgtlOOutE/wpxUezFoZs/Aifm.a.kePtYi.i"
OTHER = "$2y$04$5gLSPLEx6GOXnPoE1hD9s.dyTABBdiTzIPZGUc.flq7GWVz52hYY."
APR1 = "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/"  # "secret"

HOSTILE = (
    b"\xef\xbb\xbfbom:x\r\n"
    b"# a comment: with a colon\n"
    b"\n  \t\n"
    b" indented:y \t\n"
    b"twice:1\ntwice:2:note\n"
    b"caf\xe9:latin\n"
    b":nobody\n"
    b"empty:\n"
    b"#regctl:locked shut:z\n"
    b"#regctl:wyrd\n"
    b"unknown:!\x80\n"
    b"last:no line feed"
)

ROWS = st.lists(
    st.one_of(
        st.binary(max_size=12).map(lambda row: row.replace(b"\n", b"")),
        st.sampled_from(HOSTILE.split(b"\n")),
        st.builds(
            lambda name, hash_, end: name + b":" + hash_ + end,
            st.sampled_from(
                [b"alice", b"bob", b" alice", b"al", b"alice ", b"#alice", b"\xc2\xa0alice"]
            ),
            st.sampled_from([HASH.encode(), b"x", b""]),
            st.sampled_from([b"", b"\r", b" ", b":note", b"\xe2\x80\x83"]),
        ),
    )
)
NAMES = st.sampled_from(["alice", "bob", "al", "new"])
