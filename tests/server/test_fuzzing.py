"""What the description of the API promises, held against requests that schemathesis makes up from it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from tests.server.fake import FakeService

from darkroom.server.app import create_app
from darkroom.server.settings import Settings
from darkroom.studio.serving.limits import Limits

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    service = FakeService(folder, Limits(pictures=2, pixels=64 * 64, steps=5))
    return schemathesis.openapi.from_asgi(
        "/api/openapi.json", create_app(service, Settings(page=False, hosts=("testserver",)))
    )


def test_nothing_made_up_breaks_it(schema):
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=4,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def holds(case):
            case.call_and_validate(checks=CHECKS)

        holds()
