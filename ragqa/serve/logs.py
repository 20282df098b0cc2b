"""What the server logs: one JSON object a line on stderr. No question, document or key is logged."""

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any

LOGGER = "ragqa.serve"
_OTHERS = ("uvicorn.error", "py.warnings")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON, with the fields of its `fields`, if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, tz=timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": " ".join(record.getMessage().split()),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as_json() -> None:
    """Send what the server, uvicorn and Python's warnings say to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name, level in ((LOGGER, logging.INFO), *((other, logging.WARNING) for other in _OTHERS)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    logging.captureWarnings(capture=True)
