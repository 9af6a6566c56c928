"""Model catalogue: ids, limits, options and prices.

Prices are in USD per million tokens, and costs are integers in nano-dollars. If a prompt has more than
`long_prompt_tokens` tokens (cached tokens included), all its tokens are billed at the long-context price. Cache writes
are billed at the price of the shortest cache duration; no other is used.

Sources, read in November 2026. Ids of Anthropic and OpenAI are also in the installed SDKs.

    Anthropic   platform.claude.com/docs
    OpenAI      developers.openai.com/api/docs/models/gpt-6-luna and /gpt-6-sol. Newer models are not offered, because
                they call functions only in the Responses API, or reject `reasoning_effort` `none`
    Zhipu       docs.z.ai, and its list prices as repeated by resellers (docs.together.ai, docs.apiyi.com); a promotion
                that halves the price of GLM-5.3-Flash is not included. Zhipu does not bill cache writes

Options that models accept, from the same documentation and, for GPT and GLM, as LiteLLM sends them:

    Claude      Opus always thinks. Sonnet and Opus reject a forced tool choice; Haiku accepts it without thinking. No
                sampling parameters, and no budget of thinking tokens. Stop sequences must have a visible character
    GPT         does not think while it has tools. Sampling parameters and stop sequences only without thinking; no
                penalties
    GLM         always thinks, with three levels of effort. `tool_choice` only `auto`. One stop sequence. No seed and
                no penalties
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from math import ceil
from typing import Literal

from atrium.kernel.errors import ValidationFailed, invalid_field, list_valid
from atrium.llm.model import Effort, ModelRequest, NamedTool, OutputSchema, Usage

type ModelSize = Literal["small", "medium", "large"]

NANOS_PER_USD = 1_000_000_000
_NANOS_PER_TOKEN = 1_000
_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """The options of a request that a model accepts.

    `thinking_off` is the vendor's value that turns thinking off, or "" if the model always thinks.
    With `compiles_schemas`, only an output schema that has a form in `llm.schemas.enforceable` is enforced.
    `sampling` are the accepted fields of `SAMPLING`. With `samples_only_without_thinking`, these fields and
    `stop_sequences` are accepted only if the model does not think.
    """

    efforts: tuple[Effort, ...]
    efforts_without_thinking: tuple[Effort, ...] = ()
    thinking_off: Literal["", "disabled", "between_tools", "none"] = ""
    thinks_with_tools: bool = True
    forces_tools: bool = False
    limits_tool_calls: bool = False
    enforces_schemas: bool = False
    compiles_schemas: bool = False
    sampling: tuple[str, ...] = ()
    samples_only_without_thinking: bool = False
    stop_sequences_max: int = 4
    stops_at_blanks: bool = True


SAMPLING: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0.01, 1),
    "seed": (-(2**53), 2**53),
}
"""The valid ranges of the sampling parameters."""
STOP_CHARACTERS_MAX = 1_000
_ALL_EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that the platform offers. `vendor` is the value of `provider` in requests. Without `bedrock_id`, Amazon
    Bedrock does not serve the model.
    """

    id: str
    vendor: str
    display_name: str
    size: ModelSize
    context_tokens: int
    output_tokens_max: int
    accepts_temperature: bool
    accepts_images: bool
    options: ModelOptions
    bedrock_id: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """Prices in USD per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model from `valid_from` until its next price is valid."""

    model: str
    valid_from: datetime
    rates: Rates
    long_prompt_tokens: int | None = None
    long_rates: Rates | None = None

    def rates_for(self, usage: Usage) -> Rates:
        if self.long_prompt_tokens is None or self.long_rates is None:
            return self.rates
        return self.long_rates if usage.prompt_tokens > self.long_prompt_tokens else self.rates


def _claude(
    line: str, size: ModelSize, thinking_off: Literal["", "disabled", "between_tools"], *, forces_tools: bool = False
) -> ModelInfo:
    return ModelInfo(
        id=f"claude-{line}-5-5",
        vendor="anthropic",
        display_name=f"Claude {line.title()} 5.5",
        size=size,
        context_tokens=1_000_000,
        output_tokens_max=128_000,
        accepts_temperature=False,  # the API version of 2026-10-21 has no sampling parameters
        accepts_images=True,
        options=ModelOptions(
            efforts=_ALL_EFFORTS,
            efforts_without_thinking=("low", "medium", "high"),
            thinking_off=thinking_off,
            forces_tools=forces_tools,
            limits_tool_calls=True,
            enforces_schemas=True,
            compiles_schemas=True,
            stop_sequences_max=16,
            stops_at_blanks=False,
        ),
        bedrock_id=f"anthropic.claude-{line}-5-5",
    )


def _gpt(line: str, size: ModelSize) -> ModelInfo:
    return ModelInfo(
        id=f"gpt-6-{line}",
        vendor="openai",
        display_name=f"GPT-6 {line.title()}",
        size=size,
        context_tokens=1_050_000,
        output_tokens_max=128_000,
        accepts_temperature=False,  # only without reasoning
        accepts_images=True,
        options=ModelOptions(
            efforts=_ALL_EFFORTS,
            thinking_off="none",
            thinks_with_tools=False,
            forces_tools=True,
            limits_tool_calls=True,
            enforces_schemas=True,
            sampling=("temperature", "top_p", "seed"),
            samples_only_without_thinking=True,
        ),
    )


def _glm(line: str, size: ModelSize, *, accepts_images: bool) -> ModelInfo:
    return ModelInfo(
        id=f"glm-{line}",
        vendor="zhipu",
        display_name=f"GLM-{line.title()}",
        size=size,
        context_tokens=1_000_000,
        output_tokens_max=128_000,
        accepts_temperature=True,
        accepts_images=accepts_images,
        options=ModelOptions(efforts=("low", "high", "max"), sampling=("temperature", "top_p"), stop_sequences_max=1),
    )


def _rates(*usd: str) -> Rates:
    return Rates(*(Decimal(each) for each in usd))


def _day(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


MODELS: dict[str, ModelInfo] = {
    model.id: model
    for model in (
        _claude("haiku", "small", "disabled", forces_tools=True),
        _claude("sonnet", "medium", "between_tools"),
        _claude("opus", "large", ""),
        _gpt("luna", "small"),
        _gpt("sol", "medium"),
        _glm("5.3-flash", "small", accepts_images=True),
        _glm("5.3", "medium", accepts_images=False),
    )
}

DEFAULT_MODEL = "claude-haiku-5-5"

PRICES: tuple[Price, ...] = (
    Price(
        "claude-haiku-5-5",
        _day(2026, 10, 7),
        _rates("0.10", "0.50", "0.01", "0.125"),
        long_prompt_tokens=100_000,
        long_rates=_rates("0.50", "2.50", "0.05", "0.625"),
    ),
    Price("claude-sonnet-5-5", _day(2026, 9, 1), _rates("2", "10", "0.20", "2.50")),
    Price("claude-sonnet-5-5", _day(2026, 10, 7), _rates("2", "10", "0.10", "2.50")),
    Price("claude-opus-5-5", _day(2026, 9, 22), _rates("4", "20", "0.20", "5")),
    Price(
        "gpt-6-luna",
        _day(2026, 9, 22),
        _rates("0.10", "0.50", "0.01", "0.125"),
        long_prompt_tokens=272_000,
        long_rates=_rates("0.20", "0.75", "0.02", "0.25"),
    ),
    Price(
        "gpt-6-sol",
        _day(2026, 9, 22),
        _rates("2", "10", "0.20", "2.50"),
        long_prompt_tokens=272_000,
        long_rates=_rates("4", "15", "0.40", "5"),
    ),
    Price("glm-5.3-flash", _day(2026, 8, 26), _rates("0.15", "0.50", "0.03", "0.15")),
    Price("glm-5.3", _day(2026, 8, 19), _rates("1.40", "4.40", "0.26", "1.40")),
)


def find_model(model_id: str) -> ModelInfo | None:
    """Return the model with this id, or None."""
    return MODELS.get(model_id)


def check_request(request: ModelRequest) -> ModelInfo:
    """Return the request's model. Raise `ValidationFailed` if the model is unknown or does not support the request."""
    model = find_model(request.model)
    if model is None:
        raise ValidationFailed("The model is not in the catalogue.")
    if not 1 <= request.max_tokens <= model.output_tokens_max:
        raise ValidationFailed(
            f"`max_tokens` must be between 1 and {model.output_tokens_max} for the model {model.id}."
        )
    check_options(request, model)
    return model


def thinks(request: ModelRequest, model: ModelInfo) -> bool:
    """Return whether the model may think before it answers the request."""
    if request.thinking == "off" or request.forces_tool:
        return False
    return model.options.thinks_with_tools or not request.tools


def check_options(request: ModelRequest, model: ModelInfo) -> None:
    """Raise `ValidationFailed` for the first option of a repaired request that the model does not accept.

    The error names the field of `ModelRequest` and has no text of the request.
    """
    for find in (_tool_problems, _thinking_problems, _sampling_problems, _output_problems):
        for name, problem in find(request, model):
            raise invalid_field(name, problem)


def _tool_problems(request: ModelRequest, model: ModelInfo) -> Iterator[tuple[str, str]]:
    names, choice = [tool.name for tool in request.tools], request.tool_choice
    if len(set(names)) < len(names):
        yield "tools", "must have different names"
    if isinstance(choice, NamedTool) and choice.name not in names:
        yield "tool_choice", "must name one of the `tools`"
    if request.forces_tool and not names:
        yield "tool_choice", "can require a tool call only if there are `tools`"
    if request.forces_tool and not model.options.forces_tools:
        yield "tool_choice", f"the model {model.id} cannot be forced to call a tool; use `auto` or `none`"
    if not request.parallel_tool_calls and choice != "none" and names and not model.options.limits_tool_calls:
        yield "parallel_tool_calls", f"the model {model.id} does not limit the number of its tool calls"


def _thinking_problems(request: ModelRequest, model: ModelInfo) -> Iterator[tuple[str, str]]:
    options, is_thinking = model.options, thinks(request, model)
    if request.thinking == "off" and not options.thinking_off:
        yield "thinking", f"the model {model.id} always thinks"
    efforts = options.efforts if is_thinking else options.efforts_without_thinking
    if request.effort is not None and request.effort not in efforts:
        state = "" if is_thinking else " when it does not think, for example because of its tools"
        valid = f"accepts only {list_valid(efforts)}" if efforts else "accepts no effort"
        yield "effort", f"the model {model.id} {valid}{state}"


def _sampling_problems(request: ModelRequest, model: ModelInfo) -> Iterator[tuple[str, str]]:
    options, stops = model.options, request.stop_sequences
    is_limited = options.samples_only_without_thinking and thinks(request, model)
    for name, (least, most) in SAMPLING.items():
        value = getattr(request, name)
        if value is not None and name not in options.sampling:
            yield name, f"the model {model.id} does not accept `{name}`"
        elif value is not None and is_limited:
            yield name, f"the model {model.id} accepts `{name}` only if `thinking` is `off`"
        elif value is not None and not least <= value <= most:
            yield name, f"must be between {least} and {most}"
    if stops and is_limited:
        yield "stop_sequences", f"the model {model.id} accepts stop sequences only if `thinking` is `off`"
    if len(stops) > options.stop_sequences_max:
        yield "stop_sequences", f"the model {model.id} accepts at most {options.stop_sequences_max}"
    if not all(0 < len(each) <= STOP_CHARACTERS_MAX for each in stops):
        yield "stop_sequences", f"must have 1 to {STOP_CHARACTERS_MAX} characters each"
    if not options.stops_at_blanks and not all(map(str.strip, stops)):
        yield "stop_sequences", f"the model {model.id} accepts no stop sequence of white space only"


def _output_problems(request: ModelRequest, model: ModelInfo) -> Iterator[tuple[str, str]]:
    output = request.output_format
    if not isinstance(output, OutputSchema):
        return
    from atrium.llm.schemas import enforceable, find_problem  # not needed by most requests

    problem = find_problem(output)
    if not problem and output.strict and model.options.compiles_schemas and enforceable(output) is None:
        problem = f"the model {model.id} cannot enforce this schema; omit `strict`"
    if problem:
        yield "output_format", problem


def find_price(model: str, at: datetime) -> Price:
    """Return the price that is valid at a time. Before the first price, return the first price.

    Raises `LookupError` if the model is not in the catalogue.
    """
    known = sorted((price for price in PRICES if price.model == model), key=lambda price: price.valid_from)
    if not known:
        raise LookupError(f"no price for the model {model}")
    return next((price for price in reversed(known) if price.valid_from <= at), known[0])


def released_at(model: str) -> datetime:
    """Return when a model was first offered, which is when its first price became valid."""
    return min(each.valid_from for each in PRICES if each.model == model)


def price(model: str, usage: Usage, at: datetime) -> int:
    """Return the cost of one call in nano-dollars, rounded half up.

    For several calls, add up the costs and not the tokens, because the rate depends on the size of each prompt.
    """
    rates = find_price(model, at).rates_for(usage)
    dollars_per_million = (
        usage.input_tokens * rates.input
        + usage.output_tokens * rates.output
        + usage.cache_read_tokens * rates.cache_read
        + usage.cache_write_tokens * rates.cache_write
    )
    return int((dollars_per_million * _NANOS_PER_TOKEN).to_integral_value(ROUND_HALF_UP))


def bound_price(model: str, prompt_tokens: int, *, first: datetime, last: datetime) -> tuple[int, int]:
    """Return upper bounds in nano-dollars for the cost of a prompt and of one output token between two times.

    Uses the highest rate that can apply: for cached or uncached tokens, long or short prompts, and all prices that are
    valid between the two times.
    """
    later = (price for price in PRICES if price.model == model and first < price.valid_from <= last)
    rates: list[Rates] = []
    for valid in (find_price(model, first), *later):
        rates.append(valid.rates)
        if valid.long_rates and valid.long_prompt_tokens is not None and prompt_tokens > valid.long_prompt_tokens:
            rates.append(valid.long_rates)
    dearest = max(max(each.input, each.cache_read, each.cache_write) for each in rates)
    output = max(each.output for each in rates)
    return ceil(prompt_tokens * dearest * _NANOS_PER_TOKEN), ceil(output * _NANOS_PER_TOKEN)


def format_cost(nanos: int) -> str:
    """Return an amount in dollars with six decimals, rounded half up. `1_234_500` is `0.001235`."""
    return str((Decimal(nanos) / NANOS_PER_USD).quantize(_MICRO, ROUND_HALF_UP))


def to_nanos(usd: Decimal) -> int:
    """Convert dollars to nano-dollars, rounded half up."""
    return int((usd * NANOS_PER_USD).to_integral_value(ROUND_HALF_UP))
