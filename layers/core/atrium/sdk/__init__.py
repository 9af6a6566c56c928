"""Agents in a Python process: the agent loop of the platform without a tenant, a table or HTTP.

    agent = Agent(model="claude-haiku-5-5", provider=anthropic_provider(key), tools=[search])
    print(agent.query("What is new?"))

It is for people who build and test agents, tools and model adapters. infra/docs/agent-sdk.md describes it. All other
packages of the domain must not import it.
"""

from atrium.context.profiles import CompactionConfig
from atrium.runs.model import TextEvent, ThinkingEvent, ToolCallEvent, ToolResultEvent
from atrium.sdk.agent import Agent, AgentEvent, AgentUsage, FinalResponseEvent, anthropic_provider
from atrium.tools.declaration import tool
from atrium.tools.dependencies import Depends
from atrium.tools.model import Tool, ToolContext, ToolRefusal, ToolRetry

__all__ = [
    "Agent",
    "AgentEvent",
    "AgentUsage",
    "CompactionConfig",
    "Depends",
    "FinalResponseEvent",
    "TextEvent",
    "ThinkingEvent",
    "Tool",
    "ToolCallEvent",
    "ToolContext",
    "ToolRefusal",
    "ToolResultEvent",
    "ToolRetry",
    "anthropic_provider",
    "tool",
]
