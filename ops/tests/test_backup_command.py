import os
import signal

import pytest

from ops import backup


@pytest.fixture
def said(monkeypatch):
    """Return what lets words follow on the command line."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("OPERATOR_MONGO_URL", "mongodb://127.0.0.1:1/admin")
    yield lambda *words: monkeypatch.setattr("sys.argv", ["backup", *words])
    signal.signal(signal.SIGTERM, before)


def test_a_backup_without_a_folder_is_refused_with_its_usage(said, capsys):
    said()

    with pytest.raises(SystemExit) as refused:
        backup.main()

    assert refused.value.code == 2
    assert "usage: python -m ops.backup" in capsys.readouterr().err


def test_a_backup_that_is_stopped_half_way_leaves_no_personal_data_behind(said, monkeypatch, tmp_path):
    def stopped(_client, draft, _is_wanted):
        (draft / "auth.users.bson.gz").write_text("bo@example.org")
        os.kill(os.getpid(), signal.SIGTERM)

    said(str(tmp_path))
    monkeypatch.setattr(backup, "_write", stopped)

    with pytest.raises(SystemExit, match="stopped"):
        backup.main()

    assert list(tmp_path.iterdir()) == []
