"""The conditions of a policy, written as JSON. A policy applies if all its conditions are met.

    {"time": {"after": "2026-01-01T00:00:00Z", "before": …, "days": ["mon"], "hours": {"from": "09:00", "to": "17:30"},
              "zone": "Europe/Berlin"},
     "ip": {"any_of": ["203.0.113.0/24"], "none_of": ["203.0.113.9"]},
     "plan": ["pro", "enterprise"],
     "amount": {"min": "0", "max": "99.50"}}

`from` is inclusive and `to` is exclusive. If `to` is earlier than `from`, the hours continue after midnight. Both
limits of an amount are inclusive.
"""

from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from atrium.kernel.clock import format_time, parse_time
from atrium.kernel.errors import named_pattern
from atrium.tenants.plans import PlanName

type Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

NETWORKS_MAX = 100
NETWORK_MAX = 64
ZONE_MAX = 64
_DIGITS_MAX = 18
_HOUR = named_pattern(r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "must be a time from 00:00 to 23:59, such as `09:30`")


def _read_time(value: object) -> object:
    return parse_time(value) if isinstance(value, str) else value


def _read_amount(value: object) -> Decimal:
    """Return an amount as a decimal. Floats are rejected, because they are not exact."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("must be a decimal number as a string, such as `99.50`")  # noqa: TRY004 - pydantic reports ValueError
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise ValueError("must be a decimal number as a string, such as `99.50`") from None
    if not amount.is_finite() or amount.adjusted() > _DIGITS_MAX or _decimals(amount) > _DIGITS_MAX:
        raise ValueError(
            f"must be a finite number with at most {_DIGITS_MAX} digits before and after the decimal point"
        )
    return amount


def _decimals(amount: Decimal) -> int:
    exponent = amount.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _check_network(value: str) -> str:
    read_network(value)
    return value


def check_zone(value: str) -> str:
    """Return the name of a time zone; raise `ValueError` with a public message if it is unknown."""
    try:
        read_zone(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be the name of a time zone, such as `Europe/Berlin`") from None
    return value


@cache
def read_zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def read_network(text: str) -> IPv4Network | IPv6Network:
    """Parse an IP address or a CIDR network; raise `ValueError` with a public message if the text is invalid."""
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError("must be an IP address or a network, such as `203.0.113.0/24`") from None


Moment = Annotated[datetime, BeforeValidator(_read_time), PlainSerializer(format_time, return_type=str)]
Amount = Annotated[Decimal, BeforeValidator(_read_amount), PlainSerializer(str, return_type=str)]
Network = Annotated[str, Field(max_length=NETWORK_MAX), AfterValidator(_check_network)]
Networks = Annotated[list[Network], Field(min_length=1, max_length=NETWORKS_MAX)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="after")
    def _check_not_empty(self) -> "_Shape":
        if type(self) is not Conditions and not self.model_fields_set:
            raise ValueError("must not be empty; set at least one member or omit the condition")
        return self

    @property
    def restricts(self) -> bool:
        """Return whether any member is set. A time zone alone is not a restriction."""
        return any(getattr(self, name) is not None for name in type(self).model_fields if name != "zone")


class Hours(_Shape):
    """A range of hours of the day, such as 09:00 to 17:30."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    start: str = Field(alias="from", pattern=_HOUR)
    """First minute of the day when the policy applies, such as `09:00`. Inclusive."""
    end: str = Field(alias="to", pattern=_HOUR)
    """Minute of the day when the policy stops applying, such as `17:30`. Exclusive. If it is earlier than `from`, the
    hours continue after midnight.
    """

    @model_validator(mode="after")
    def _check_range(self) -> "Hours":
        if self.start == self.end:
            raise ValueError("`from` and `to` must differ")
        return self


class TimeCondition(_Shape):
    after: Moment | None = None
    """The policy applies from this time (RFC 3339). Null or absent: no lower bound."""
    before: Moment | None = None
    """The policy applies before this time (RFC 3339). Null or absent: no upper bound."""
    days: list[Day] | None = Field(default=None, min_length=1, max_length=7)
    """Days of the week on which the policy applies, 1 to 7. Null or absent: every day."""
    hours: Hours | None = None
    """Hours of the day when the policy applies. Null or absent: all day."""
    zone: Annotated[str, Field(max_length=ZONE_MAX), AfterValidator(check_zone)] = "UTC"
    """IANA time zone for `days` and `hours`, at most 64 characters. Default `UTC`."""


class AddressCondition(_Shape):
    any_of: Networks | None = None
    """The caller's IP address must match one of these addresses or CIDR networks, at most 100. Null or absent: any
    address is allowed.
    """
    none_of: Networks | None = None
    """The caller's IP address must not match any of these addresses or CIDR networks, at most 100. Null or absent: no
    address is excluded.
    """


class AmountCondition(_Shape):
    min: Amount | None = None
    """Smallest amount in USD as decimal text, inclusive. Null or absent: no lower bound."""
    max: Amount | None = None
    """Largest amount in USD as decimal text, inclusive. Null or absent: no upper bound."""


class Conditions(_Shape):
    """The conditions under which a policy applies. Without conditions it always applies."""

    time: TimeCondition | None = None
    """Times when the policy applies. Null or absent: always."""
    ip: AddressCondition | None = None
    """IP addresses from which the policy applies. Null or absent: any address."""
    plan: list[PlanName] | None = Field(default=None, min_length=1, max_length=4)
    """Plans of the tenant to which the policy applies, 1 to 4. Null or absent: any plan."""
    amount: AmountCondition | None = None
    """Amounts of money (of the call) to which the policy applies. Null or absent: any amount."""


ALWAYS = Conditions()


def find_empty_conditions(conditions: Conditions) -> list[str]:
    """Return the names of conditions without a restriction, such as `{"ip": {"any_of": null}}`."""
    parts = {name: getattr(conditions, name) for name in Conditions.model_fields}
    return [name for name, part in parts.items() if isinstance(part, _Shape) and not part.restricts]
