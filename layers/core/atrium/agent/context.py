"""Reads the context of a turn: tenant, agent, session, history and admission items."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from atrium.agent.model import AUTO_MODEL, AgentConfig, TurnRequest, bare_agent
from atrium.agent.store import AgentStore, read_agent
from atrium.context.conversation import Conversation, RecentRuns, open_conversation
from atrium.kernel.clock import Clock
from atrium.kernel.errors import (
    ModelKeyRequired,
    ModelNotAllowed,
    NotFound,
    ProviderUnsupported,
    ValidationFailed,
    invalid_field,
    list_valid,
)  # fmt: skip
from atrium.kernel.ids import AgentId, SessionId, TenantId, is_id
from atrium.llm.catalogue import MODELS, NANOS_PER_USD, ModelInfo, find_model
from atrium.llm.content import has_images
from atrium.llm.model import ModelMessage, ModelRequest, texts_of
from atrium.llm.tokens import estimate_prompt_tokens
from atrium.policy.guard import PolicyGuard
from atrium.quotas.item import AdmissionItem
from atrium.quotas.limits import principal_place, principal_scope, read_limits, tenant_limits
from atrium.quotas.model import TENANT, ScopeLimits
from atrium.runs.model import Routing
from atrium.runs.store import RunStore
from atrium.sessions.model import Session
from atrium.sessions.store import SessionStore, read_session
from atrium.storage import keys
from atrium.storage.keys import Key
from atrium.storage.table import TenantTable
from atrium.tenants.context import KeyUse, TenantContext
from atrium.tenants.plans import PLANS, PlanName

if TYPE_CHECKING:  # imported only for turns whose model is `auto`, and for agents with a prompt
    from atrium.prompts.turns import PromptCache
    from atrium.routing.service import TurnRouter

type DefaultAgents = MutableMapping[TenantId, AgentId]


@dataclass(frozen=True, slots=True)
class LimitedRead:
    """The result of one batch read: the items of tenant, caller and agent, and their admission items."""

    context: TenantContext
    clock: Clock
    asked: frozenset[Key]
    found: Mapping[Key, Mapping[str, Any]]

    @property
    def tenant(self) -> Mapping[str, Any]:
        return self.found[keys.tenant()]

    def scopes(self, agent: AgentConfig | None) -> tuple[ScopeLimits, ...]:
        """Return the scopes whose limits apply: the caller and the agent, if they have limits, and then the tenant."""
        place = principal_place(self.context.principal)
        caller = principal_scope(self.context.principal, self.found.get(place)) if place else None
        found = [caller] if caller else []
        if agent is not None and agent.limits:
            found.append(ScopeLimits("agent", read_limits({"limits": agent.limits}), agent.id))
        return (*found, ScopeLimits("tenant", tenant_limits(self.tenant)))

    def items(self, table: TenantTable, scopes: tuple[ScopeLimits, ...]) -> dict[str, AdmissionItem]:
        """Return the admission item of each scope. Items that were not in the batch are read now."""
        late = [place for each in scopes if (place := keys.admission(each.id)) not in self.asked]
        found = {**self.found, **(table.batch_get(late) if late else {})}
        now = self.clock().timestamp()
        return {each.id: AdmissionItem(found.get(keys.admission(each.id)), now) for each in scopes}


def read_limited(
    context: TenantContext, table: TenantTable, clock: Clock, agent_id: AgentId | None, *more: Key
) -> LimitedRead:
    """Read the limits of a turn or session, and `more` items, in one batch. Raise `NotFound` for a missing tenant."""
    wanted = [keys.tenant(), keys.admission(TENANT), *more]
    place = principal_place(context.principal)
    wanted += [place, keys.admission(context.principal.id)] if place else []
    wanted += [keys.agent(agent_id), keys.admission(agent_id)] if agent_id else []
    found = table.batch_get(wanted)
    if found.get(keys.tenant(), {"status": "deleted"}).get("status") == "deleted":
        raise NotFound("Tenant not found.")
    return LimitedRead(context, clock, frozenset(wanted), found)


@dataclass(frozen=True, slots=True)
class TurnContext:
    """The data of a turn, after the permission checks. `scopes` has the tenant last. `keys` are as current as
    `config_version`.
    """

    agent: AgentConfig
    model: ModelInfo
    session: Session | None
    runs: RecentRuns
    scopes: tuple[ScopeLimits, ...]
    items: Mapping[str, AdmissionItem]
    config_version: int
    fallbacks: tuple[ModelInfo, ...] = ()
    routing: Routing | None = None
    keys: KeyUse = field(default_factory=KeyUse)

    @property
    def limits(self) -> ScopeLimits:
        """Return the limits of the tenant."""
        return self.scopes[-1]


@dataclass(frozen=True, slots=True)
class TurnContextReader:
    """Reads the context of one caller's turns. `default_agents` is a cache; each read verifies the cached entry.

    `router` is called only for the model `auto`, and `prompts` only for agents with a prompt.
    """

    context: TenantContext
    agents: AgentStore
    sessions: SessionStore
    runs: RunStore
    default_agents: DefaultAgents
    guard: PolicyGuard
    clock: Clock
    router: Callable[[], TurnRouter]
    prompts: Callable[[], PromptCache]

    def read(self, request: TurnRequest) -> TurnContext:
        """Read and check the context of a turn. Costs one batch read and, for an existing session, one parallel query.

        Raises `NotFound`, `ModelKeyRequired`, `ModelNotAllowed`, `PolicyDenied`, `PromptUnusable`,
        `ProviderUnsupported` or `ValidationFailed`, and `CircuitOpen` if the model is `auto` and no model can be
        called.
        """
        wanted_agent, session_id = checked_ids(request)
        if request.agent_name is not None:
            wanted_agent = self._find_agent(request.agent_name)
        is_bare = request.caller is not None and wanted_agent is None
        guess = wanted_agent or (None if is_bare else self.default_agents.get(self.context.tenant_id))
        history = _readers().submit(self.read_history, session_id) if session_id else None
        place = [keys.session(session_id)] if session_id else []
        read = read_limited(self.context, self.agents.table, self.clock, guess, *place)
        runs = history.result() if history else RecentRuns(self.runs)
        session = self._session(read.found.get(place[0])) if place else None
        if session_id and session is None:
            raise NotFound("Session not found.")
        item = read.found.get(keys.agent(guess)) if guess else None
        self._check_text(request)
        if is_bare:
            agent = bare_agent(request.model or AUTO_MODEL, self.clock())
        else:
            agent = self._choose(wanted_agent, session, read.tenant, read_agent(item) if item else None)
            agent = self._instruct(agent, read, request.end_user)
        if session and not _is_fresh(session, runs):
            runs = self.read_history(session.id)
        version, routing = read.tenant["config_version"], None
        key_use = KeyUse.of(read.tenant.get("model_keys", ()), json.loads(read.tenant.get("settings", "{}")))
        if (request.model or agent.model) == AUTO_MODEL:
            model, fallbacks, routing = self._route(agent, request, runs, version, key_use)
        else:
            model = self._admit_model(agent, request, key_use)
            fallbacks = self._fallbacks(agent, model, request, key_use)
        scopes = read.scopes(agent)
        items = read.items(self.agents.table, scopes)
        return TurnContext(agent, model, session, runs, scopes, items, version, fallbacks, routing, key_use)

    def _instruct(self, agent: AgentConfig, read: LimitedRead, end_user: str) -> AgentConfig:
        """Return the agent with the system prompt of this turn: its rendered prompt, and what the user prefers."""
        place = principal_place(self.context.principal) if self.context.principal.type == "user" else None
        user = read.found.get(place, {}) if place and not end_user else {}
        knows_person = end_user or not {"time_zone", "language", "preferences"}.isdisjoint(user)
        if agent.prompt is None and not (knows_person and "preferences" in agent.injections):
            return agent
        from atrium.prompts.instructions import Person, sample_values

        person, now, system = Person(user, end_user), self.clock(), agent.system_prompt
        if agent.prompt is not None:
            company = read.tenant.get("display_name") or self.context.tenant_name
            values = {**sample_values(agent.name, agent.tools, now), "company": company, **person.values(now)}
            system = self.prompts().render(self.agents.table, read.tenant["config_version"], agent.prompt, values)
        about = person.describe() if "preferences" in agent.injections else ""
        return replace(agent, system_prompt="\n\n".join(text for text in (system, about) if text.strip()))

    def _check_text(self, request: TurnRequest) -> None:
        """Raise `ValidationFailed` if the message is too long, or `MessageRefused` if it looks like an injection."""
        maximum, texts = PLANS[self.context.plan].message_characters, texts_of(request.message)
        if sum(map(len, texts)) > maximum:
            raise invalid_field("message", f"must have at most {maximum} characters on the plan {self.context.plan}")
        texts += request.caller.other_texts(request.message) if request.caller else []
        self.guard.require_harmless(texts, session_id=request.session_id or "", end_user=request.end_user)

    def _session(self, item: Mapping[str, Any] | None) -> Session | None:
        """Return the session if it exists and the caller may see it, otherwise None."""
        session = read_session(item) if item else None
        if session is None or session.is_deleted:
            return None
        is_visible = session.owner == self.context.owner or self.context.principal.sees_all
        return session if is_visible else None

    def read_history(self, session_id: SessionId) -> RecentRuns:
        return RecentRuns.read(self.runs, session_id)

    def _route(
        self, agent: AgentConfig, request: TurnRequest, runs: RecentRuns, version: int, key_use: KeyUse
    ) -> tuple[ModelInfo, tuple[ModelInfo, ...], Routing]:
        """Return the model that the routing rules choose, its fallbacks and the reason. A rejection is audited."""
        if request.provider not in (None, AUTO_MODEL):
            raise ProviderUnsupported("The routing rules choose the provider of the model `auto`. Omit `provider`.")
        caller = request.caller
        try:
            route = self.router().route(
                self.agents.table,
                version,
                text=caller.routed_text(request.message) if caller else "\n".join(texts_of(request.message)),
                plan=self.context.plan,
                session_id=request.session_id,
                own_keys=key_use.own,
                count_prompt_tokens=lambda: _count_prompt_tokens(agent, request, runs),
                find_allowed=lambda model_id: self._find_allowed(agent, request, model_id, key_use),
            )
        except ModelNotAllowed as refusal:
            self._record_refusal(AUTO_MODEL, agent, request, refusal)
            raise
        self._require_permission(route.model, request)
        return route.model, route.fallbacks, Routing(route.rule, route.reason)

    def _admit_model(self, agent: AgentConfig, request: TurnRequest, key_use: KeyUse) -> ModelInfo:
        """Return the turn's model if the plan and the policies allow it for the caller, and there is a key for it.

        A model that the plan does not allow is audited.
        """
        wanted = request.model or agent.model
        try:
            model = check_model(self.context, request.provider, wanted, agent.temperature is not None)
        except ModelNotAllowed as refusal:
            self._record_refusal(wanted, agent, request, refusal)
            raise
        if not model.accepts_images and _has_images(request):
            raise invalid_field("message", f"must not have images, because the model {model.id} does not accept them")
        self._require_permission(model, request)
        key_use.require(model.vendor)
        return model

    def _record_refusal(self, model: str, agent: AgentConfig, request: TurnRequest, refusal: ModelNotAllowed) -> None:
        details = {"model": model, "agent_id": agent.id, "reason": refusal.detail}
        session_id = request.session_id or ""
        self.guard.audit.record("model.refuse", details, session_id=session_id, end_user=request.end_user)

    def _require_permission(self, model: ModelInfo, request: TurnRequest) -> None:
        session_id = request.session_id or ""
        self.guard.require_permission(f"model:{model.id}", amount=_amount(request), session_id=session_id)

    def _fallbacks(
        self, agent: AgentConfig, model: ModelInfo, request: TurnRequest, key_use: KeyUse
    ) -> tuple[ModelInfo, ...]:
        """Return the agent's fallback models that the plan and the policies allow, and for which there is a key."""
        others = (model_id for model_id in agent.fallback_models if model_id != model.id)
        found = (self._find_allowed(agent, request, model_id, key_use, with_images=False) for model_id in others)
        return tuple(fallback for fallback in found if fallback is not None)

    def _find_allowed(
        self, agent: AgentConfig, request: TurnRequest, model_id: str, key_use: KeyUse, *, with_images: bool = True
    ) -> ModelInfo | None:
        """Return a model if the plan and the policies allow it, it accepts the request, and there is a key for it.

        Nothing is audited.
        """
        with suppress(ModelKeyRequired, ModelNotAllowed, ProviderUnsupported, ValidationFailed):
            model = check_model(self.context, None, model_id, agent.temperature is not None)
            key_use.require(model.vendor)
            accepts = model.accepts_images or not (with_images and _has_images(request))
            if accepts and self.guard.evaluate(f"model:{model.id}", amount=_amount(request)).allowed:
                return model
        return None

    def _choose(
        self, wanted: AgentId | None, session: Session | None, tenant: Mapping[str, Any], read: AgentConfig | None
    ) -> AgentConfig:
        """Return the requested agent, the session's agent, or the tenant's default agent, in this order."""
        agent = self._read_agent(wanted or (session.agent_id if session else None) or self._default(tenant), read)
        if agent is None and wanted is None and session and session.agent_id:
            raise NotFound("The session's agent was deleted. Set the session's `agent_id` to another agent or to null.")
        if agent is None:
            raise NotFound("Agent not found.")
        return agent

    def _find_agent(self, name: str) -> AgentId:
        if (found := self.agents.find(name)) is None:
            valid = list_valid([AUTO_MODEL, *_models_of(self.context.plan)])
            raise invalid_field("model", f"must be one of {valid}, or the id or name of an agent")
        return found

    def _read_agent(self, agent_id: AgentId, read: AgentConfig | None) -> AgentConfig | None:
        return read if read and read.id == agent_id else self.agents.get(agent_id)

    def _default(self, tenant: Mapping[str, Any]) -> AgentId:
        default = tenant.get("default_agent_id")
        if not default:
            raise NotFound("The tenant has no default agent. Create one, or send `agent_id`.")
        self.default_agents[self.context.tenant_id] = AgentId(default)
        return AgentId(default)


def _has_images(request: TurnRequest) -> bool:
    return has_images(request.message) or (request.caller is not None and request.caller.has_images())


def _count_prompt_tokens(agent: AgentConfig, request: TurnRequest, runs: RecentRuns) -> int:
    """Return the estimated tokens of the system prompt, the earlier messages and the message, without the tools."""
    limits = Conversation(messages_max=agent.max_history_messages, tokens_max=agent.max_history_tokens)
    messages = open_conversation(runs, limits).messages((ModelMessage("user", request.message),), ())
    whole = ModelRequest(AUTO_MODEL, agent.system_prompt, messages, max_tokens=1)
    if caller := request.caller:
        whole = caller.apply(replace(whole, messages=(*caller.dialog, *messages)), is_first=True)
    return estimate_prompt_tokens(whole)


def _amount(request: TurnRequest) -> Decimal | None:
    """Return the run's maximum cost in USD, which policies can evaluate, or None if there is no maximum."""
    limit = request.limits.max_cost_nanos
    return None if limit is None else Decimal(limit) / NANOS_PER_USD


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="history")


def checked_ids(request: TurnRequest) -> tuple[AgentId | None, SessionId | None]:
    if request.agent_id is not None and not is_id(request.agent_id, "agt"):
        raise NotFound("Agent not found.")
    if request.session_id is not None and not is_id(request.session_id, "ses"):
        raise NotFound("Session not found.")
    agent_id = AgentId(request.agent_id) if request.agent_id else None
    return agent_id, SessionId(request.session_id) if request.session_id else None


def _is_fresh(session: Session, runs: RecentRuns) -> bool:
    """Return whether the history includes the end of the session's last turn."""
    return session.turn is not None or runs.newest_ended == session.last_run_ulid


def check_model(
    context: TenantContext, provider: str | None, model: str, has_temperature: bool, *, field: str = "model"
) -> ModelInfo:
    """Return a model that the tenant may use. Raise `ModelNotAllowed`, `ProviderUnsupported` or `ValidationFailed`."""
    entry = find_model(model)
    if entry is None:
        valid = [*([AUTO_MODEL] if field == "model" else []), *_models_of(context.plan)]
        raise invalid_field(field, f"must be one of {list_valid(valid)}")
    if provider is not None and provider != entry.vendor:
        raise ProviderUnsupported(
            f"The model {entry.id} is served by `{entry.vendor}`. Set `provider` to `{entry.vendor}` or omit it."
        )
    if entry.size not in PLANS[context.plan].models:
        included = list_valid(_models_of(context.plan))
        raise ModelNotAllowed(f"The plan {context.plan} does not include the model {entry.id}. It includes {included}.")
    if has_temperature and not entry.accepts_temperature:
        raise invalid_field("temperature", f"the model {entry.id} does not accept a temperature")
    return entry


def _models_of(plan: PlanName) -> list[str]:
    return [model.id for model in MODELS.values() if model.size in PLANS[plan].models]
