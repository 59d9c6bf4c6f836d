"""supervisord, with a log in the format of every program's: `python -m dev.supervisord -n -c FILE`."""

import logging
from typing import Any

from supervisor import loggers, supervisord
from supervisor.options import ServerOptions

from libs import logs


class Record(loggers.LogRecord):
    """One message of supervisord's, with our line for it, too."""

    def asdict(self) -> dict[str, Any]:
        """Return the fields for a handler's format; the levels have the numbers of Python's."""
        found: dict[str, Any] = super().asdict()
        line = logging.LogRecord("supervisord", self.level, "", 0, found["message"], None, None)
        return {**found, "line": logs.formatter().format(line)}


class Options(ServerOptions):
    """supervisord's options, with the one change that is no setting: the format of the log."""

    def make_logger(self) -> None:
        """Open the log file, and write the messages from before."""
        self.logger = loggers.getLogger(self.loglevel)
        file = {"rotating": True, "maxbytes": self.logfile_maxbytes, "backups": self.logfile_backups}
        loggers.handle_file(self.logger, self.logfile, "%(line)s\n", **file)
        early = {"critical": self.parse_criticals, "warn": self.parse_warnings, "info": self.parse_infos}
        for level, messages in early.items():
            for message in messages:
                getattr(self.logger, level)(message)


if __name__ == "__main__":
    loggers.LogRecord = Record
    supervisord.ServerOptions = Options
    supervisord.main()
