"""Code is uploaded from the source tree, and the template refers to the uploads."""

import copy
import io
import zipfile
from pathlib import Path

import pytest

from infra.local import StartFailed
from infra.local.stack.package import package, without_versions
from infra.runtime.aws import running_aws
from infra.runtime.template import Document
from tests.unit.local.builders import write_source

pytestmark = pytest.mark.loopback


def template(folder: str) -> Document:
    return {
        "Resources": {
            "One": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": folder}},
            "Two": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": folder}},
            "Layer": {"Type": "AWS::Serverless::LayerVersion", "Properties": {"ContentUri": "layers/core/"}},
            "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {"CodeUri": "untouched"}},
        }
    }


def test_package(tmp_path: Path) -> None:
    write_source(
        tmp_path,
        {"functions/one/app.py": "x = 1", "functions/one/__pycache__/app.pyc": "", "layers/core/atrium/a.py": ""},
    )
    source = template("functions/one/")
    with running_aws() as endpoint:
        packaged = package(source, endpoint, tmp_path)
        one = packaged["Resources"]["One"]["Properties"]["CodeUri"]
        stored = endpoint.client("s3").get_object(Bucket=one["Bucket"], Key=one["Key"])["Body"].read()
    assert one == packaged["Resources"]["Two"]["Properties"]["CodeUri"]
    assert packaged["Resources"]["Layer"]["Properties"]["ContentUri"]["Key"] == "layers/core.zip"
    assert packaged["Resources"]["Table"] == source["Resources"]["Table"]
    assert source["Resources"]["One"]["Properties"]["CodeUri"] == "functions/one/"
    with zipfile.ZipFile(io.BytesIO(stored)) as archive:
        assert archive.namelist() == ["app.py"]


def test_functions_are_not_published() -> None:
    """The local stack runs the source tree. An alias would refer to a copy that is not reloaded."""
    source: Document = {
        "Globals": {"Function": {"AutoPublishAlias": "live", "DeploymentPreference": {}, "Timeout": 5}},
        "Resources": {
            "Api": {"Type": "AWS::Serverless::Api", "Properties": {"Arns": [{"Ref": "One.Alias"}, {"Ref": "One"}]}},
            "One": {
                "Type": "AWS::Serverless::Function",
                "Properties": {"AutoPublishCodeSha256": {"Ref": "Release"}, "SnapStart": {}, "Handler": "a.b"},
            },
        },
    }
    before = copy.deepcopy(source)

    found = without_versions(source)

    assert found["Globals"]["Function"] == {"Timeout": 5}
    assert found["Resources"]["One"]["Properties"] == {"Handler": "a.b"}
    assert found["Resources"]["Api"]["Properties"]["Arns"] == [{"Fn::GetAtt": ["One", "Arn"]}, {"Ref": "One"}]
    assert source == before


def test_missing_code_folder(tmp_path: Path) -> None:
    with (
        running_aws() as endpoint,
        pytest.raises(StartFailed, match="the code folder functions/gone/ of One does not exist"),
    ):
        package(template("functions/gone/"), endpoint, tmp_path)
