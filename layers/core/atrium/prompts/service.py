"""Administration of a tenant's prompts, and previews of their texts. Every change is audited."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atrium.audit.service import AuditService
from atrium.kernel.clock import Clock
from atrium.kernel.errors import Conflict, NotFound, invalid_field, list_valid
from atrium.kernel.ids import PromptId, is_id, mint_prompt_id
from atrium.kernel.pagination import Page, PageRequest
from atrium.llm.tokens import BYTES_PER_TOKEN
from atrium.prompts.model import (
    VARIABLES_BYTES_MAX,
    VERSIONS_MAX,
    Prompt,
    PromptFault,
    PromptVersion,
    Values,
    Variable,
    check_declarations,
)
from atrium.prompts.shipped import SHIPPED
from atrium.prompts.store import PromptStore, encode_variables
from atrium.storage.writes import Put
from atrium.tenants.counts import maximum_reached

_SHIPPED_LISTED = "shipped"


@dataclass(frozen=True, slots=True)
class Preview:
    """The text of a template, its estimated tokens, and the names of the variables that the template uses."""

    text: str
    tokens: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptService:
    """Operations on prompts for one caller. The routes check the scopes.

    `agents_using` returns the names of the agents that would have no prompt, or another one that they cannot use, if
    the given prompt lost its name or was deleted.
    """

    store: PromptStore
    clock: Clock
    audit: AuditService
    agents_using: Callable[[Prompt], Sequence[str]]

    def create(self, name: str, description: str, template: str, variables: Sequence[Variable]) -> Prompt:
        """Create a prompt. Raise `ValidationFailed`, `Conflict` (name in use) or `CountExceeded`."""
        now = self.clock()
        newest = _checked(PromptVersion(mint_prompt_id(now), 1, template, tuple(variables), now))
        prompt = Prompt(newest.prompt_id, name, newest, now, now, description)
        self.store.create(prompt, self._record("create", prompt))
        return prompt

    def get(self, prompt_id: str) -> Prompt:
        prompt = self.store.get(PromptId(prompt_id)) if is_id(prompt_id, "prm") else None
        if prompt is None:
            raise NotFound("Prompt not found.")
        return prompt

    def get_version(self, prompt_id: str, version: int) -> PromptVersion:
        prompt = self.get(prompt_id)
        found = prompt.newest if prompt.newest.version == version else self.store.get_version(prompt.id, version)
        if found is None:
            raise NotFound(f"The prompt has no version {version}.")
        return found

    def list(self, page: PageRequest) -> Page[Prompt]:
        """List the shipped prompts and then the tenant's prompts, oldest first."""
        position = page.position or {_SHIPPED_LISTED: "0"}
        if _SHIPPED_LISTED not in position:
            return self.store.list(page)
        start, shipped = int(position[_SHIPPED_LISTED]), list(SHIPPED.values())
        shown = shipped[start : start + page.limit]
        if len(shown) == page.limit:
            return Page(shown, {_SHIPPED_LISTED: str(start + len(shown))})
        rest = self.store.list(PageRequest(page.limit - len(shown)))
        return Page([*shown, *rest.items], rest.position)

    def list_versions(self, prompt_id: str, page: PageRequest) -> Page[PromptVersion]:
        return self.store.list_versions(self.get(prompt_id).id, page)

    def change(self, prompt_id: str, changes: Mapping[str, Any]) -> Prompt:
        """Change fields of a prompt. Another template or other variables make a new version.

        Raises `NotFound`, `ValidationFailed`, `CountExceeded` at the maximum number of versions, and `Conflict` for a
        shipped prompt, a name in use, a concurrent change, or a new name while an agent uses the old one.
        """
        before, now = self._own(prompt_id), self.clock()
        content = {name: changes[name] for name in ("template", "variables") if name in changes}
        newest = replace(before.newest, **content)
        if newest != before.newest:
            newest = _checked(replace(newest, version=newest.version + 1, created_at=now))
            if newest.version > VERSIONS_MAX:
                detail = f"A prompt may have at most {VERSIONS_MAX} versions. Create another prompt."
                raise maximum_reached("versions", VERSIONS_MAX, detail)
        simple = {name: changes[name] for name in ("name", "description") if name in changes}
        if (prompt := replace(before, **simple, newest=newest)) == before:
            return before
        prompt = replace(prompt, revision=before.revision + 1, updated_at=now)
        if prompt.name != before.name:
            self._require_unused(before)
        self.store.replace(prompt, self._record("change", prompt, fields=sorted(changes)), before=before)
        return prompt

    def delete(self, prompt_id: str) -> None:
        """Delete a prompt with its versions. Raise `Conflict` for a shipped prompt, or if an agent uses it."""
        prompt = self._own(prompt_id)
        self._require_unused(prompt)
        self.store.delete(prompt, self._record("delete", prompt))

    def preview(self, version: PromptVersion, values: Mapping[str, Any], built_in: Values) -> Preview:
        """Return the text of a version, which need not be stored. Raise `ValidationFailed`."""
        from atrium.prompts.template import compile_template

        _checked(version)
        try:
            compiled = compile_template(version.template, version.variables)
            text = compiled.render(version.bind(values), built_in)
        except PromptFault as fault:
            raise invalid_field("values", fault.message) from fault
        return Preview(text, -(-len(text.encode()) // BYTES_PER_TOKEN), tuple(sorted(compiled.names)))

    def _own(self, prompt_id: str) -> Prompt:
        prompt = self.get(prompt_id)
        if prompt.source == "builtin":
            raise Conflict(
                f"A shipped prompt cannot be changed or deleted. Create a prompt with the name `{prompt.name}` to "
                "override it."
            )
        return prompt

    def _require_unused(self, prompt: Prompt) -> None:
        if agents := self.agents_using(prompt):
            raise Conflict(f"The prompt is used by the agents {list_valid(agents)}. Change their `prompt` first.")

    def _record(self, action: str, prompt: Prompt, **more: object) -> Put:
        """Return the audit record of a change. It does not contain the template, which may be long and private."""
        details = {"name": prompt.name, "version": prompt.newest.version}
        base = {"action": f"prompt.{action}", "resource": prompt.id, **details, **more}
        return self.audit.recording("admin.change", base)


def _checked(version: PromptVersion) -> PromptVersion:
    """Return the version. Raise `ValidationFailed` if its variables or template are not allowed."""
    from atrium.prompts.template import compile_template

    try:
        check_declarations(version.variables)
    except PromptFault as fault:
        raise invalid_field("variables", fault.message) from fault
    if len(encode_variables(version).encode()) > VARIABLES_BYTES_MAX:
        raise invalid_field("variables", f"must have at most {VARIABLES_BYTES_MAX:,} bytes together")
    try:
        compile_template(version.template, version.variables)
    except PromptFault as fault:
        raise invalid_field("template", fault.message) from fault
    return version
