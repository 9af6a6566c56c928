"""The messages of a model request: reads a session's earlier turns, and keeps each request within its limits.

Concepts
    A *turn* is a question and its *rounds*. A round is an assistant message with the tool results that answer it.
    Turns are left out whole, oldest first. If one turn is too large, its oldest rounds are left out. A tool call is
    therefore never separated from its result. The *own* messages are those that the current run has added so far.

    `Conversation` is immutable. It states which messages a request contains: the earlier turns, the number of own
    messages that are left out, the *summary* of what was left out, and the maximum size of a text block. The agent loop
    keeps one and replaces it before a model call if the next request would exceed the limits.

Limits
    `messages_max` counts the messages of earlier turns. `tokens_max` counts all messages except the question, estimated
    at three bytes per token. The system prompt and the question are never shortened.

    1. Above the threshold of a compaction profile, older messages are replaced by a summary (`compaction`).
    2. Above a limit, older turns and rounds are left out, but not the last 10 messages.
    3. If the last 10 messages are too large, their long texts are cut at the beginning. If this is not enough, some of
       these messages are left out too.

Stored messages are not changed. A summary is stored in the outcome of the run that made it. Later turns begin with the
summary, and read only the messages that it does not cover.

Thinking blocks are bound to everything before them (ADR 0040). If messages before them were changed during the run,
the thinking of the run is not sent back. The same applies to thinking of a model before its fallback answered.
"""
