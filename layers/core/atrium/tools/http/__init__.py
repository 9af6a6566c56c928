"""HTTP tools, which a tenant defines with `/v1/tools`: each call of the tool is one HTTP request.

    schema.py     JSON Schema of the arguments: which schemas are accepted, and the validation of arguments
    template.py   placeholders in URL, headers, query and body: `{argument}` and `{{secret.NAME}}`
    model.py      the definition of a tool, and its validation
    store.py      items: TOOL#<name>, and a marker TOOL_ID#<id>, so that a turn reads tools by the names of its agent
    calling.py    the tool that a turn calls: request and response
    masking.py    masks secrets that a server returns
    service.py    administration, and the tools of a turn

Invariants:

- Arguments change neither scheme, host nor port of a URL, nor its path segments or other query parameters.
- Secrets are encrypted for one tool, scheme, host and port. They are decrypted only for a call, and are in no request
  to a model, response, audit event, log line or error message. If a server returns a secret, it is masked.
- The access token of a connection is the caller's own, is sent only to hosts of its provider, and is masked like a
  secret.
- A change of a tool increases the tenant's `config_version`. Turns cache tools by this version, which they read anyway.
"""
