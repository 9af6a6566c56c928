"""Our logger uses LOG_LEVEL. Lambda's log level is never above INFO, because a higher level would drop metrics."""

import logging

import pytest
from atrium.http.logs import make_logger


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARN", "ERROR"])
def test_a_logger_writes_what_log_level_says(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_lambda = "DEBUG" if level == "DEBUG" else "INFO"
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", of_lambda)
    monkeypatch.setenv("LOG_LEVEL", level)

    logger = make_logger(f"test-{level}")

    assert logger.log_level == logging.getLevelNamesMapping()[level]
