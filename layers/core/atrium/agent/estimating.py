"""The upper bound of a model call, for its hold: the bytes of the prompt as tokens, at the dearest price."""

from datetime import datetime, timedelta

from atrium.llm.bounds import bound_tokens
from atrium.llm.catalogue import bound_price, find_model
from atrium.llm.model import ModelRequest
from atrium.quotas.estimate import Estimate

_PRICED_FOR = timedelta(minutes=15)
"""No function lives longer, so no call is priced later."""


def estimate_call(request: ModelRequest, now: datetime) -> Estimate:
    """Return what a call can use at most. A prompt that does not fit the model's window is never charged."""
    model = find_model(request.model)
    prompt = bound_tokens(request)
    if model is not None:
        prompt = min(prompt, model.context_tokens)
    cost, output = bound_price(request.model, prompt, first=now, last=now + _PRICED_FOR)
    return Estimate(prompt, cost, request.max_tokens, output)
