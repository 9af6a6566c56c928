"""Claude on Amazon Bedrock: the same wire with other ids, signed with the function's own role.

An id is an inference profile: a geography (`global`, `us`, `eu`, `jp` …, which decides where prompts may go) before
the model's Bedrock id. Bedrock does not count tokens.
"""

from functools import cache

from anthropic.lib.bedrock import AnthropicBedrock

from atrium.llm.anthropic.channel import Channel, make_http_client
from atrium.llm.catalogue import ModelInfo


def bedrock_channel(geography: str, *, base_url: str | None = None) -> Channel:
    """Return the channel through the Region's `bedrock-runtime`; credentials and Region are found as by boto3."""

    @cache
    def client() -> AnthropicBedrock:
        return AnthropicBedrock(base_url=base_url, max_retries=0, http_client=make_http_client(), open_telemetry=False)

    def model_id(model: ModelInfo) -> str:
        return f"{geography}.{model.bedrock_id}"

    return Channel("bedrock", client, model_id, counts_tokens=False)
