"""A DynamoDB table on moto that is faster and more exact than moto's own.

- moto copies the whole table before each transaction, because its updates change an item in place. Here an update
  changes a copy and replaces the item, so a copy of the list of items is enough.
- moto tests an attribute value for each of ten possible types. Here the only type of the value is read directly.
- moto raises an error for the size of a missing attribute. Here `size(x) < n` is false, as on AWS.
- moto checks the class of each node of an expression, which is slow for abstract classes. Here the result is cached.
- The client calls moto's operations directly, without HTTP, signatures and routing. botocore's hooks before and after
  a call are still executed.
"""

import copy
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal

from botocore import xform_name
from botocore.parsers import create_parser
from moto.core.exceptions import ServiceException
from moto.core.model import StructureShape
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.responses import ActionResult
from moto.core.serialize import JSONSerializer
from moto.dynamodb.comparisons import FuncSize
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.dynamodb.parsing import ast_nodes
from moto.dynamodb.parsing.tokens import ExpressionTokenizer, Token
from moto.dynamodb.responses import DynamoHandler
from werkzeug.exceptions import HTTPException

from infra.runtime.resources import REGION, local_session

type Items = defaultdict[DynamoType, dict[DynamoType, Item]]

nodes: Any = ast_nodes
_update = DynamoDBBackend.update_item
_size = FuncSize.expr
_serialize = JSONSerializer._serialize_type_structure
_classes: dict[type, tuple[type, ...]] = {}
_FRAMES = 4_000
"""Limit of Python's call stack. moto parses conditions recursively, and 25 parts exceed the default of 1000 frames."""
_AS_THEY_ARE = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})


def quicken() -> None:
    """Apply the patches of moto that the module docstring describes. Idempotent."""
    setattr(DynamoDBBackend, "update_item", _update_a_copy)  # noqa: B010 - replaces a method of moto
    setattr(Table, "__deepcopy__", _copy_table)  # noqa: B010
    setattr(JSONSerializer, "_serialize_type_structure", _serialize_structure)  # noqa: B010
    setattr(FuncSize, "expr", _size_or_none)  # noqa: B010
    setattr(ExpressionTokenizer, "make_list", staticmethod(_tokens_of))  # noqa: B010
    nodes.DepthFirstTraverser.traverse_node_recursively = _traverse
    nodes.Node.find_clauses = _find_clauses
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _FRAMES))


@contextmanager
def moto_client(service: Literal["dynamodb", "s3"]) -> Iterator[Any]:
    """Yield this process's client of a service, without the hooks of an earlier test.

    Of botocore's hooks, only those of the parameters and those before and after a call run on a DynamoDB client.
    """
    client = _open_client(service)
    kept, client.meta.events = client.meta.events, copy.copy(client.meta.events)
    try:
        yield client
    finally:
        client.meta.events = kept


@cache
def _open_client(service: Literal["dynamodb", "s3"]) -> Any:
    client = local_session().client(service)
    if service == "dynamodb":
        _answer_directly(client)
    return client


def _answer_directly(client: Any) -> None:
    """Make a DynamoDB client call moto's operations directly, without HTTP, signatures and routing."""
    parser = create_parser("json")

    def make_request(model: Any, request: dict[str, Any], _context: object) -> tuple[object, Any]:
        handler: Any = DynamoHandler()
        handler.current_account, handler.region, handler.partition = DEFAULT_ACCOUNT_ID, REGION, "aws"
        handler.headers, handler.querystring, handler.response_headers = request["headers"], {}, {}
        reader: Any = PROTOCOL_PARSERS["json"](model, map_type=handler.PROTOCOL_PARSER_MAP_TYPE)
        handler.params = handler.body = reader.parse({**request, "url_params": {}})
        try:
            status, headers, body = handler.serialized(getattr(handler, xform_name(model.name))())
        except ServiceException as refusal:
            status, headers, body = handler.serialized(ActionResult(refusal))
        except HTTPException as refusal:
            status, headers, body = refusal.code, dict(refusal.get_headers()), refusal.description
        answer: Any = {"status_code": status, "headers": headers, "body": body.encode()}
        parsed = parser.parse(answer, model.output_shape)
        error = model.service_model.shape_for_error_code(parsed["Error"]["Code"]) if "Error" in parsed else None
        if error is not None:
            parsed |= parser.parse(answer, error)
        return SimpleNamespace(status_code=status, headers=headers), parsed

    client._make_request = make_request


_is_subclass: Any = cache(issubclass)


def _traverse(traverser: Any, node: Any, child_id: int = -1) -> Any:
    """Process the nodes of an expression from the leaves to the root. Return the new root."""
    if not isinstance(node, nodes.Node):
        return node
    parent = node.parent
    for place, child in enumerate(node.children or ()):
        traverser.pre_processing_of_child(node, place)
        _traverse(traverser, child, place)
    if _is_subclass(type(node), _processed(type(traverser), traverser)):
        node = traverser.process(node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node


def _processed(kind: type, traverser: Any) -> tuple[type, ...]:
    """Return the node classes that a traverser class processes, from a cache."""
    if kind not in _classes:
        _classes[kind] = traverser.nodes_to_be_processed()
    return _classes[kind]


def _find_clauses(node: Any, kinds: Any) -> list[Any]:
    found = []
    for child in node.children or ():
        if type(child) in kinds:
            found.append(child)
        elif _is_subclass(type(child), (nodes.Expression, nodes.UpdateExpressionFunction)):
            found += _find_clauses(child, kinds)
    return found


@cache
def _read_tokens(expression: str) -> tuple[Token, ...]:
    return tuple(ExpressionTokenizer(expression)._make_list())


def _tokens_of(expression: str) -> list[Token]:
    """Return the tokens of an update expression, from a cache."""
    return list(_read_tokens(expression))


def copy_items(table: Table) -> Items:
    """Return a copy of the table's items. Later writes do not change the copy."""
    items: Items = defaultdict(dict)
    items.update((first, dict(held)) for first, held in table.items.items())
    return items


def _copy_table(table: Table, memo: dict[int, Any]) -> Table:
    twin = copy.copy(table)
    twin.items = copy_items(table)
    return twin


def _update_a_copy(backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *rest: Any, **named: Any) -> Item:
    table = backend.get_table(table_name)
    first, second = (DynamoType(key[str(name)]) for name in (table.hash_key_attr, table.range_key_attr))
    items = table.items.get(first, {})
    if second in items:
        items[second] = copy.deepcopy(items[second])
    return _update(backend, table_name, key, *rest, **named)


def _size_or_none(func: FuncSize, item: Item | None) -> int | None:
    return None if func.attr.get_type(item) is None else _size(func, item)


def _serialize_structure(
    serializer: JSONSerializer, serialized: Any, value: Any, shape: StructureShape, key: str
) -> None:
    if shape.name == "AttributeValue" and key:
        try:
            serialized[key] = _as_text(value)
        except (TypeError, ValueError):  # binary values, and other formats that moto serializes
            _serialize(serializer, serialized, value, shape, key)
    else:
        _serialize(serializer, serialized, value, shape, key)


def _as_text(value: Any) -> dict[str, Any]:
    """Return an attribute value in DynamoDB's JSON format. Raise ValueError for a type that is not supported."""
    if isinstance(value, DynamoType):
        value = {value.type: value.value}
    ((kind, held),) = value.items()
    if kind == "M":
        return {"M": {name: _as_text(each) for name, each in held.items()}}
    if kind == "L":
        return {"L": [_as_text(each) for each in held]}
    if kind not in _AS_THEY_ARE:
        raise ValueError(kind)
    return {kind: held}
