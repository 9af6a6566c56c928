"""Checks the queues, the functions that consume them, and the roles that access them.

A queue must deny plain HTTP, and its visibility timeout must be long enough for a retry. A consumer must report failed
messages one by one. A role must have exactly the actions that its function needs.
"""

from collections.abc import Iterator

from infra.checks.policies import as_list, referred, statements
from infra.checks.routes import functions_of
from infra.runtime.template import Document

QUEUE_TYPE = "AWS::SQS::Queue"
# The visibility timeout as a multiple of the function's timeout, as AWS recommends. While a worker processes a message,
# the message must not become visible to another worker.
TIMEOUTS = 6
CONSUMES = frozenset({"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"})
SENDS = frozenset({"sqs:SendMessage"})
KEY_OF_QUEUES = frozenset({"kms:Decrypt", "kms:GenerateDataKey"})


def check_queues(template: Document) -> Iterator[str]:
    """Check every queue, every function that a queue invokes, and every function whose environment names a queue."""
    yield from _without_tls(template)
    for function, properties in functions_of(template).items():
        consumed = set()
        for event in properties.get("Events", {}).values():
            if event["Type"] == "SQS":
                queue = referred(event["Properties"].get("Queue"))
                consumed.add(queue)
                yield from (f"{function}: {text}" for text in _consumer_faults(template, properties, event, queue))
        yield from (f"{function}: {text}" for text in _access_faults(template, properties, consumed))


def _without_tls(template: Document) -> Iterator[str]:
    policies = [
        item["Properties"] for item in template["Resources"].values() if item["Type"] == "AWS::SQS::QueuePolicy"
    ]
    covered = {referred(queue) for policy in policies for queue in policy["Queues"]}
    yield from (
        f"{queue} is in no queue policy that denies plain HTTP" for queue in sorted(_queues(template) - covered)
    )


def _consumer_faults(template: Document, properties: Document, event: Document, queue: str) -> Iterator[str]:
    if event["Properties"].get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield "one failed message repeats the whole batch: set FunctionResponseTypes: [ReportBatchItemFailures]"
    if queue not in _queues(template):
        yield "its SQS event names no queue of the template"
        return
    own = template["Resources"][queue]["Properties"]
    timeout = properties.get("Timeout", template.get("Globals", {}).get("Function", {}).get("Timeout", 3))
    least = TIMEOUTS * timeout
    if own.get("VisibilityTimeout", 30) < least:
        yield f"{queue}: VisibilityTimeout must be at least {least}, {TIMEOUTS} times the function's Timeout"
    if not referred(own.get("RedrivePolicy", {}).get("deadLetterTargetArn")).endswith("DeadLetters"):
        yield f"{queue}: RedrivePolicy must name a queue whose name ends with DeadLetters"


def _access_faults(template: Document, properties: Document, consumed: set[str]) -> Iterator[str]:
    """Compare the queues that the role may use with the queues in the function's events and environment variables."""
    role = template["Resources"].get(referred(properties.get("Role")), {}).get("Properties", {})
    variables = properties.get("Environment", {}).get("Variables", {})
    named = {referred(value) for value in variables.values()} & _queues(template)
    failed = {queue for queue in _queues(template) if queue.endswith("DeadLetters")}
    for names, actions, purpose in ((consumed, CONSUMES, "consume"), (named, SENDS, "send to")):
        granted = _granted(role, actions) & _queues(template)
        yield from (
            f"its role may not {purpose} {queue} ({', '.join(sorted(actions))})" for queue in sorted(names - granted)
        )
        yield from (
            f"its role may {purpose} {queue}, which it does not name" for queue in sorted(granted - names - failed)
        )
    if consumed | named and "DataKey" not in _granted(role, KEY_OF_QUEUES, "sqs."):
        yield f"its role may not use the key of its queue ({', '.join(sorted(KEY_OF_QUEUES))} on DataKey, through SQS)"


def _granted(role: Document, actions: frozenset[str], condition: str = "") -> set[str]:
    """Return the resources for which one statement allows all the actions.

    The statement's condition must contain the text `condition`.
    """
    return {
        referred(resource)
        for statement in statements(role)
        if actions <= set(as_list(statement.get("Action"))) and condition in str(statement.get("Condition"))
        for resource in as_list(statement.get("Resource"))
    }


def _queues(template: Document) -> set[str]:
    return {name for name, item in template["Resources"].items() if item["Type"] == QUEUE_TYPE}
