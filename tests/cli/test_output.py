"""One listing in every format, on a terminal and in a pipe."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pytest

from regctl import documents, errors
from regctl.cli.app import App
from regctl.cli.listings import Column, Listing
from regctl.cli.output import Format, Output
from regctl.cli.rendering import escape_controls
from regctl.outcome import Outcome
from regctl.workflows.rotation_steps import StepResult


@dataclass(frozen=True)
class Row:
    name: str
    size: int


ROWS = [Row("team/app", 12), Row("[red]evil\x1b[2J", 1_000_000)]
ROWS_LISTING = Listing(
    "rows",
    [
        Column[Row]("NAME", lambda row: row.name),
        Column[Row](
            "SIZE", lambda row: row.size, text=lambda size: f"{size} B", exact=str, right=True
        ),
        Column[Row]("NOTE", lambda _row: "more", key="", wide=True),
    ],
    name=lambda row: row.name,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(
    monkeypatch: pytest.MonkeyPatch, format_: Format | None, *, terminal: bool = False
) -> str:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "80")
    Output(format=format_).listing(iter(ROWS), ROWS_LISTING)
    return stream.getvalue()


def test_a_terminal_gets_a_table_and_a_pipe_gets_tab_separated_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = shown(monkeypatch, None, terminal=True).splitlines()
    assert "NAME" in table[0]
    assert "SIZE" in table[0]
    assert "[red]evil\\x1b[2J" in table[2]
    assert "1000000 B" in table[2]
    assert shown(monkeypatch, None) == "team/app\t12\n[red]evil\\x1b[2J\t1000000\n"


def test_wide_shows_the_columns_that_a_table_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "more" not in shown(monkeypatch, "table")
    assert "more" in shown(monkeypatch, "wide")


def test_a_pipe_gets_a_table_if_asked_for_and_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown(monkeypatch, "table").splitlines() == [
        f"{'NAME':16}  SIZE",
        f"{'team/app':16}  12 B",
        "[red]evil\\x1b[2J  1000000 B",
    ]


def test_json_and_yaml_have_the_exact_values(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"rows": [asdict(row) for row in ROWS]}
    assert json.loads(shown(monkeypatch, "json")) == expected
    assert documents.load(shown(monkeypatch, "yaml"), source="it") == expected


def test_names_are_printed_one_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, "name") == "team/app\n[red]evil\\x1b[2J\n"


def broken() -> Iterator[Row]:
    yield ROWS[0]
    raise errors.RegctlError("page 2 did not come")


@pytest.mark.parametrize("format_", ["table", "wide", "name", "json"])
def test_a_listing_that_fails_shows_the_items_before(
    monkeypatch: pytest.MonkeyPatch, format_: Format
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    output = Output(format=format_)
    with pytest.raises(errors.RegctlError) as caught:
        output.listing(broken(), ROWS_LISTING)
    output.fatal(caught.value)
    assert "team/app" in stream.getvalue()
    if format_ == "json":
        document = json.loads(stream.getvalue())
        assert document["rows"] == [asdict(ROWS[0])]
        assert document["error"]["message"] == "page 2 did not come"


def test_an_interrupted_listing_is_still_a_json_document(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted() -> Iterator[Row]:
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Output(format="json").listing(interrupted(), ROWS_LISTING)
    assert json.loads(capsys.readouterr().out) == {"rows": [asdict(ROWS[0])]}


def test_an_empty_list_is_an_empty_json_list(capsys: pytest.CaptureFixture[str]) -> None:
    empty: list[Row] = []
    Output(format="json").listing(empty, ROWS_LISTING)
    assert json.loads(capsys.readouterr().out) == {"rows": []}


CREATED = Outcome("secret", "r.io", "created", namespace="team-a")
FAILED = Outcome(
    "secret", "r.io", "failed", namespace="team-b", error=errors.NotPermittedError("forbidden")
)


def test_each_result_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output().results([CREATED, Outcome("user", "alice", "unchanged")])
    assert capsys.readouterr().out == "team-a/secret/r.io created\nuser/alice unchanged\n"


def test_a_dry_run_uses_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    Output().results([CREATED], dry_run="client")
    Output().results([CREATED], dry_run="server")
    assert capsys.readouterr().out == (
        "team-a/secret/r.io created (dry run)\nteam-a/secret/r.io created (server dry run)\n"
    )


def test_if_some_fail_it_is_partly_done_and_each_error_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(errors.PartlyDoneError, match="1 of 2 failed, 1 done"):
        Output().results([CREATED, FAILED])
    captured = capsys.readouterr()
    assert captured.out == "team-a/secret/r.io created\n"
    assert captured.err == "error: forbidden\n"


def test_if_all_fail_alike_the_exit_code_is_that_of_the_cause() -> None:
    with pytest.raises(errors.NotPermittedError, match="2 of 2 failed"):
        Output().results([FAILED, FAILED])
    with pytest.raises(errors.NotPermittedError, match="forbidden"):
        Output().results([FAILED])


def test_json_results_have_the_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.PartlyDoneError):
        Output(format="json").results([CREATED, FAILED], dry_run="server")
    first, second = json.loads(capsys.readouterr().out)["results"]
    assert first == {
        "kind": "secret", "name": "r.io", "namespace": "team-a", "result": "created",
        "dry_run": "server",
    }  # fmt: skip
    assert second["error"] == {"message": "forbidden", "hint": None, "exit_code": 4}


def test_quiet_prints_only_errors(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.results([CREATED])
    output.note("by the way")
    output.warning("mind")
    output.error(errors.RegctlError("no"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: no\n"


def test_only_control_characters_are_escaped() -> None:
    assert escape_controls("Zoë 日本 naïve") == "Zoë 日本 naïve"
    assert escape_controls("a\tb\nc\x7f\x9b\u2028\udc80") == "a\\tb\\nc\\x7f\\x9b\\u2028\\x80"


def test_a_line_and_a_question_are_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    Output().line("user/\x1b[2J\u202e")
    assert capsys.readouterr().out == "user/\\x1b[2J\\u202e\n"


def test_a_password_is_exact_in_a_pipe_and_visible_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stream, shown_as in ((io.StringIO(), "a\x1b[2J\n"), (Terminal(), "a\\x1b[2J\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        Output().password("a\x1b[2J")
        assert stream.getvalue() == shown_as


def test_a_file_is_exact_in_a_pipe_and_visible_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = b"Zo\xeb:\x1b[2J\nci:x\n"
    pipe = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", pipe)
    Output().content(content)
    assert pipe.buffer.getvalue() == content
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    Output().content(content)
    assert terminal.getvalue() == "Zo\\xeb:\\x1b[2J\nci:x\n"


def test_color_is_for_terminals_and_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    Output().warning("mind")
    assert "\x1b[" in terminal.getvalue()
    terminal.truncate(0)
    Output(color=False).warning("mind")
    assert "\x1b[" not in terminal.getvalue()


def test_the_steps_of_a_rotation_have_the_colors_of_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    step = StepResult("remove", "user/ci", "deleted", "\x1b[2J")
    Output(color=True).outcome_line(step, "client")
    assert terminal.getvalue() == "user/ci \x1b[33mdeleted\x1b[0m (\\x1b[2J) (dry run)\n"


def test_no_color_in_the_environment_turns_color_off() -> None:
    assert App(environ={"NO_COLOR": "1"}).output.color is False
    assert App(environ={"NO_COLOR": ""}).output.color is None


def test_a_generated_password_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.generated("ci", "battery")
    assert capsys.readouterr().out == "battery\n"
    output.results([Outcome("user", "ci", "created")])
    assert capsys.readouterr() == ("", "user/ci created\n")


def test_a_generated_password_is_part_of_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(format="json")
    output.generated("ci", "battery")
    output.results([Outcome("user", "ci", "created")])
    assert json.loads(capsys.readouterr().out)["passwords"] == {"ci": "battery"}
    assert "battery" not in repr(output)
