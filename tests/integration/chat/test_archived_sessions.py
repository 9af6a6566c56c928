"""A session whose messages were moved to S3 is exported, forked and continued as before."""

from typing import Any

import pytest

from tests.builders.api_env import ApiEnv, say
from tests.builders.archives import archive

pytestmark = pytest.mark.loopback


def test_an_archived_session_is_exported_forked_and_continued_as_before(api_env: ApiEnv) -> None:
    chat, sessions = api_env.chat_as(), api_env.sessions_as()
    session_id = say(chat, "My name is Ada. [[thinking=Noted.]] What is 12*7?").json()["session_id"]
    say(chat, "And what is 2*3?", session_id=session_id)

    def read() -> dict[str, Any]:
        shown: dict[str, Any] = {
            form: sessions.get(f"/v1/sessions/{session_id}/export", params={"format": form}).text
            for form in ("json", "markdown")
        }
        messages = sessions.get(f"/v1/sessions/{session_id}/messages").json()["data"]
        fork = sessions.post(f"/v1/sessions/{session_id}/fork", json={"message_id": messages[1]["id"]}).json()
        copies = sessions.get(f"/v1/sessions/{fork['id']}/messages").json()["data"]
        without_run = [{name: value for name, value in each.items() if name != "run_id"} for each in copies]
        return {**shown, "messages": messages, "fork": without_run}

    before = read()
    archive(api_env.tenant_env)
    assert any("sessions/" in name for name in api_env.tenant_env.blobs())
    assert read() == before
    continued = say(chat, "What is my name?", session_id=session_id).json()
    assert "Ada" in continued["response"]
