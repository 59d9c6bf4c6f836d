"""The verbs as commands: the same list, with exit codes for scripts."""

import io
import json
import sys

import pytest

from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import Signer, new_key
from ops.__main__ import DONE, REFUSED, UNREACHABLE, parser, run
from ops.shell.console import Console
from ops.shell.names import names
from ops.shell.operator_client import OperatorClient
from ops.shell.verbs import VERBS


class Answers:
    """A client that answers every call alike."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def connect(self, timeout):
        """The broker answers."""

    def ping(self, service, timeout):
        """Every service but tickets answers."""
        if service == "tickets":
            raise ServiceUnavailable("no answer")

    def call(self, service, method, arguments, **about):
        self.asked.append((f"{service}.{method}", arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def client(answer):
    return OperatorClient(Answers(answer), Signer(new_key("operator:olga")[0]))


def execute(line, answer):
    options = vars(parser().parse_args(line.split()))
    options.pop("json")
    at = client(answer)
    return run(VERBS[options.pop("verb")], options, options.pop("yes", False), at), at._client.asked


def test_there_is_a_command_for_each_verb():
    given = {"find": ["hamlet"], "discard": ["q", "--reason", "x"], "refund": ["o1", "called off", "--yes"]}
    for name, each in VERBS.items():
        words = [
            one.name for one in each.parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD
        ]
        assert parser().parse_args([name, *given.get(name, words)]).verb == name


def test_a_command_prints_json_and_says_by_its_status_that_it_was_done(capsys):
    status, asked = execute("settle o1 --yes", {"status": "captured"})

    assert (status, asked) == (DONE, [("payments.settle", {"order_id": "o1"})])
    assert json.loads(capsys.readouterr().out) == {"status": "captured"}


def test_options_are_the_arguments_that_may_be_left_out():
    _, asked = execute("replay orders.X --ids a b --exception KeyError --yes", {"replayed": 2, "left": 0})

    wanted = {"queue": "orders.X", "ids": ["a", "b"], "exception": "KeyError"}
    assert asked == [("orders.replay_parked", wanted)]


def test_what_is_empty_when_it_is_left_out_needs_no_option():
    _, asked = execute("announce Slow --yes", {})

    assert asked == [("auth.set_announcement", {"texts": {"en": "Slow"}})]
    assert execute("announce --yes", {})[1] == [("auth.set_announcement", {"texts": {}})]


def test_what_is_refused_ends_with_another_status_than_what_does_not_answer(capsys):
    assert execute("cancel o1 why --yes", RemoteError("OrderComplete", "It has been paid for."))[0] == REFUSED
    assert execute("cancel o1 why --yes", ServiceUnavailable("no answer"))[0] == UNREACHABLE
    assert execute("cancel o1 why", {})[0] == REFUSED
    assert execute("parked", [])[0] == UNREACHABLE  # tickets does not answer, the others do
    said = capsys.readouterr().err
    assert "OrderComplete: It has been paid for." in said and "--yes" in said
    with pytest.raises(SystemExit) as wrong:
        parser().parse_args(["cancel", "o1"])
    assert wrong.value.code == 2


@pytest.mark.parametrize("command", ["/nowhere/restart", "sh -c 'exec sleep 9'"])
def test_a_program_that_cannot_be_restarted_in_time_is_told_in_a_line(command, capsys, monkeypatch):
    monkeypatch.setenv("OPERATOR_RESTART_COMMAND", command)
    monkeypatch.setattr("ops.shell.internals.RESTART_SECONDS", 0.1)

    assert execute("restart orders --yes", {})[0] == REFUSED

    assert "orders did not restart" in capsys.readouterr().err


def test_a_restart_command_that_is_none_is_named(capsys, monkeypatch):
    monkeypatch.setenv("OPERATOR_RESTART_COMMAND", "restart 'it")

    assert execute("restart orders --yes", {})[0] == REFUSED

    assert "OPERATOR_RESTART_COMMAND is no command: No closing quotation" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["extend o1 --minutes 99999999999", "refund o1 why --amount 1e9999"])
def test_a_number_beyond_all_bounds_is_refused_in_a_line(line, capsys):
    order = {"expires_at": "2026-11-26T12:00:00.000Z", "currency": "usd"}

    assert execute(f"{line} --yes", order)[0] == REFUSED

    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["0", "-5"])
def test_nobody_takes_time_to_pay_away_by_extending_it(minutes, capsys):
    assert execute(f"extend o1 --minutes={minutes} --yes", {}) == (REFUSED, [])
    assert "minutes must be 1 or more" in capsys.readouterr().err


def test_whoever_ends_the_input_instead_of_an_answer_changes_nothing(capsys, monkeypatch):
    def ends():
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ends)

    assert execute("settle o1", {}) == (REFUSED, [])
    assert "nothing was changed" in capsys.readouterr().err


@pytest.fixture
def piped(monkeypatch):
    """Return a function that runs a console on what is piped in, and returns it."""
    monkeypatch.setattr("sys.excepthook", lambda *_error: None)  # as libs.logs sets one
    monkeypatch.setattr("sys.displayhook", sys.displayhook)

    def run_console(text, answer=()):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        console = Console(names(client(answer)))
        console.run("")
        return console

    return run_console


@pytest.mark.parametrize("text", ["for n in (1, 2):\n    print(n)", "print(\n1)\nprint(2)"])
def test_the_last_statement_in_a_pipe_is_run(piped, capsys, text):
    assert not piped(text).has_failed
    assert capsys.readouterr().out.splitlines() == ["1", "2"]


@pytest.mark.parametrize("text", ["print(1\n", "print(1\n\n", 'print("""1\n'])
def test_a_statement_that_the_end_of_a_pipe_cuts_off_is_an_error(piped, capsys, text):
    assert piped(text).has_failed
    printed = capsys.readouterr()
    assert (printed.out, "not complete" in printed.err) == ("", True)


@pytest.mark.parametrize("answer", [{"by": None}, [{"by": None}], True, "Øye", 7], ids=str)
@pytest.mark.parametrize("call", ["operators()", "orders.stuck()"])
def test_every_answer_in_a_pipe_is_json(piped, capsys, call, answer):
    piped(call, answer)

    assert json.loads(capsys.readouterr().out) == answer


def test_an_error_before_exit_is_still_told_by_the_status(piped):
    assert piped("boom\nexit()\nprint(1)\n").has_failed
    assert not piped("exit()\n").has_failed
    with pytest.raises(SystemExit, match="3"):
        piped("exit(3)\n")


def test_an_error_ends_nothing_in_a_pipe_and_the_status_tells(piped, capsys):
    console = piped('cancel("o1", "x")\n1 +\nboom\nprint("on")\nparked()\n')

    printed = capsys.readouterr()
    assert console.has_failed
    assert printed.out.splitlines() == ["on", "[]"]
    assert "NotConfirmed: cancel" in printed.err and "NameError" in printed.err and "SyntaxError" in printed.err
