"""How many tokens a prompt has, by the provider's own count: free of charge, one round trip."""

import httpx2
from anthropic import omit

from atrium.kernel.errors import AtriumError, ProviderUnsupported
from atrium.llm.answer import AnswerBroken
from atrium.llm.anthropic.channel import FAILURES, Channel, describe
from atrium.llm.anthropic.prompt import message_params, system_blocks, tool_choice, tool_params
from atrium.llm.bounds import BYTES_PER_TOKEN, bound_tokens
from atrium.llm.catalogue import ModelInfo
from atrium.llm.connection import CONNECT_SECONDS
from atrium.llm.metering import read_figure
from atrium.llm.model import ModelRequest

COUNT_SECONDS = 30.0
_COUNT_MAX = 1_000_000_000


def count_tokens(channel: Channel, request: ModelRequest, model: ModelInfo) -> int:
    """Return the size of a prompt; raises `ModelFailed`, `ModelTimeout`, `ProviderUnsupported`. Not tried again."""
    if not channel.counts_tokens:
        raise ProviderUnsupported(f"{channel.name} does not count tokens")
    system = system_blocks(request.system)
    try:
        counted = channel.client().messages.count_tokens(
            model=channel.model_id(model),
            system=system or omit,
            messages=message_params(request),
            tools=tool_params(request.tools, marked=not system) or omit,
            tool_choice=tool_choice(request) or omit,
            timeout=httpx2.Timeout(COUNT_SECONDS, connect=CONNECT_SECONDS),
        )
    except FAILURES as error:
        raise describe(error).to_error() from error
    except (ValueError, RecursionError) as error:
        raise describe(AnswerBroken("the count is not JSON in UTF-8")).to_error() from error
    figure = read_figure(getattr(counted, "input_tokens", None), _COUNT_MAX)
    if figure is None:
        raise describe(AnswerBroken("the count is not a whole number")).to_error()
    return figure


def exceeds_window(channel: Channel, request: ModelRequest, model: ModelInfo) -> bool:
    """Return whether a prompt that was refused is too long for the model.

    The API has no code for that, and its messages must not be matched. So the prompt is counted; if that fails too, it
    is estimated from its bytes.
    """
    bound = bound_tokens(request)
    if bound <= model.context_tokens:
        return False
    try:
        return count_tokens(channel, request, model) > model.context_tokens
    except AtriumError:
        return bound // BYTES_PER_TOKEN > model.context_tokens
