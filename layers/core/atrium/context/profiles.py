"""Compaction profiles: when older messages are summarised, and what a summary contains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from atrium.kernel.errors import invalid_field

type CompactionProfile = Literal["customer_service", "coding", "data_analysis"]

MESSAGES_KEPT = 10


@dataclass(frozen=True, slots=True)
class CompactionConfig:
    """When and how to summarise. `threshold` is a share of the limits; the last `messages_kept` messages stay."""

    contents: str
    threshold: float = 0.80
    messages_kept: int = MESSAGES_KEPT

    def __post_init__(self) -> None:
        if not self.contents.strip():
            raise invalid_field("contents", "must say what a summary contains")
        if not 0 < self.threshold <= 1:
            raise invalid_field("threshold", "must be greater than 0 and at most 1")


PROFILES: Mapping[CompactionProfile, CompactionConfig] = {
    "customer_service": CompactionConfig(
        "the customer's problem and its details; the solutions that were offered or tried, and their results; how "
        "satisfied the customer is; promises and follow-ups that are still open",
        threshold=0.85,
    ),
    "coding": CompactionConfig(
        "the files that were read or changed; each change and the reason for it; errors that occurred, and their "
        "causes; decisions; to-dos that are still open",
        threshold=0.80,
    ),
    "data_analysis": CompactionConfig(
        "the data sources and their structure; the findings, with exact figures; the steps of the analysis so far; the "
        "charts and tables that were made; open questions",
        threshold=0.75,
    ),
}
