"""Replaces `sam package`: uploads each code folder to a bucket and writes its S3 location into the template.

The folders are uploaded without dependencies, because locally the functions run from the source tree.
"""

import copy
import io
import zipfile
from pathlib import Path
from typing import Any

from infra.local import StartFailed
from infra.local.paths import ROOT
from infra.runtime.functions import FUNCTION_TYPE, LAYER_TYPE
from infra.runtime.resources import Endpoint
from infra.runtime.template import Document

CODE_BUCKET = "atrium-local-code"
_CODE_PROPERTIES = {FUNCTION_TYPE: "CodeUri", LAYER_TYPE: "ContentUri"}
# Locally, a function has only one version, which runs from the source tree. A published version would not change after
# a reload.
_OF_VERSIONS = (
    "AutoPublishAlias",
    "AutoPublishCodeSha256",
    "DeploymentPreference",
    "SnapStart",
    "VersionDeletionPolicy",
)
_LEFT_OUT = frozenset({"__pycache__", "node_modules", ".pytest_cache"})


def package(template: Document, endpoint: Endpoint, root: Path = ROOT) -> Document:
    """Upload the code and return the template with the S3 locations of the uploads."""
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket=CODE_BUCKET, CreateBucketConfiguration={"LocationConstraint": s3.meta.region_name})
    packaged = without_versions(template)
    uploaded: dict[str, dict[str, str]] = {}
    for logical_id, resource in packaged["Resources"].items():
        name = _CODE_PROPERTIES.get(resource.get("Type", ""))
        folder = resource.get("Properties", {}).get(name) if name else None
        if name is None or not isinstance(folder, str):
            continue
        if not (root / folder).is_dir():
            raise StartFailed(f"template.yaml: the code folder {folder} of {logical_id} does not exist")
        if folder not in uploaded:
            key = f"{folder.strip('/')}.zip"
            s3.put_object(Bucket=CODE_BUCKET, Key=key, Body=_archive(root / folder))
            uploaded[folder] = {"Bucket": CODE_BUCKET, "Key": key}
        resource["Properties"][name] = uploaded[folder]
    return packaged


def without_versions(template: Document) -> Document:
    """Return the template without function versions. References to an alias become references to the function."""
    unpublished: Document = _replace_aliases(copy.deepcopy(template))
    functions = [item for item in unpublished["Resources"].values() if item.get("Type") == FUNCTION_TYPE]
    for properties in (unpublished.get("Globals", {}).get("Function", {}), *(item["Properties"] for item in functions)):
        for name in _OF_VERSIONS:
            properties.pop(name, None)
    return unpublished


def _replace_aliases(value: Any) -> Any:
    match value:
        case {"Ref": str(name)} if name.endswith(".Alias"):
            return {"Fn::GetAtt": [name.removesuffix(".Alias"), "Arn"]}
        case dict():
            return {key: _replace_aliases(item) for key, item in value.items()}
        case list():
            return [_replace_aliases(item) for item in value]
        case _:
            return value


def _archive(folder: Path) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not _LEFT_OUT.intersection(inside.parts):
                archive.write(path, inside.as_posix())
    return target.getvalue()
