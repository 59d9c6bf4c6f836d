import stat
import sys

import pytest

from libs.tokens import Signer, operator_key
from ops import operators


def test_only_its_owner_reads_a_new_key_whose_public_half_is_printed(tmp_path, capsys, monkeypatch):
    path = tmp_path / "olga.key"
    monkeypatch.setattr(sys, "argv", ["operators", "key", "olga", str(path)])

    operators.main()

    printed = capsys.readouterr().out.strip()
    signer = Signer(path.read_text())
    assert operator_key(printed) == ("olga", signer.public_key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip().partition("=")[2] not in printed


def test_a_key_that_cannot_be_written_is_none_and_says_so_in_a_line(tmp_path):
    with pytest.raises(SystemExit, match="^there is no key: .*No such file or directory: '.*/nowhere/olga.key'$"):
        operators.make_key("olga", tmp_path / "nowhere" / "olga.key")


def test_a_key_is_never_overwritten(tmp_path):
    operators.make_key("olga", tmp_path / "key")

    with pytest.raises(SystemExit, match="exists and is left unchanged"):
        operators.make_key("olga", tmp_path / "key")


@pytest.mark.parametrize("name", ["", "1", "Olga", "olga/../x", "o:1", "x" * 41, "ol ga", "administrator"])
def test_a_name_that_is_none_is_refused_with_the_rule(tmp_path, name):
    with pytest.raises(SystemExit, match="is no name: small letters"):
        operators.make_key(name, tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
