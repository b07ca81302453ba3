"""The OpenAPI document of the endpoints, and the endpoint that tells it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from starlette.responses import Response

from bicameral import __version__
from server.http.endpoint import Endpoint, ErrorAnswer
from server.http.exchange import Request, json_answer

_REFERENCE = "#/components/schemas/{model}"

#: What a key may be refused with, and what every request may be.
_ALWAYS = (401, 403, "default")


def document_endpoint(endpoints: Iterable[Endpoint]) -> Endpoint:
    """Return the endpoint that tells the document of these."""
    document = openapi_document([one for one in endpoints if one.tag])

    async def tell(_: Request) -> Response:
        return json_answer(document)

    return Endpoint(method="GET", path="/openapi.json", handler=tell, right=None)


def openapi_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document of endpoints, all of them described."""
    models = [ErrorAnswer, *(one.answer for one in endpoints if _is_model(one))]
    mode: JsonSchemaMode = "serialization"
    named = [(index, mode, TypeAdapter(model).core_schema) for index, model in enumerate(models)]
    # Only what is referred to stands in the components, by its class's name.
    schemas, components = GenerateJsonSchema(ref_template=_REFERENCE).generate_definitions(named)
    answers = iter([schemas[index, mode] for index in range(1, len(models))])
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        content = endpoint.answer
        if _is_model(endpoint):
            content = {"application/json": {"schema": next(answers)}}
        path = re.sub(":path}", "}", endpoint.path)
        operation = _operation(endpoint, content)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "bicameral", "version": __version__},
        "paths": paths,
        "components": {"schemas": components},
    }


def _is_model(endpoint: Endpoint) -> bool:
    return endpoint.answer is not None and not isinstance(endpoint.answer, Mapping)


def _operation(endpoint: Endpoint, content: Any) -> dict[str, Any]:
    """Describe one endpoint; its handler's name and docstring say what it does."""
    name = endpoint.handler.__name__
    operation: dict[str, Any] = {
        "tags": [endpoint.tag],
        "summary": name.replace("_", " ").title(),
        "description": inspect.getdoc(endpoint.handler) or "",
        "operationId": re.sub(r"\W", "_", f"{name}{endpoint.path.replace(':path', '')}")
        + f"_{endpoint.method.lower()}",
        "responses": _responses(endpoint, content),
    }
    parameters = [*_path_parameters(endpoint), *_query_parameters(endpoint)]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body:
        operation["requestBody"] = endpoint.body
    return operation


def _responses(endpoint: Endpoint, content: Any) -> dict[str, Any]:
    error = {"schema": {"$ref": _REFERENCE.format(model=ErrorAnswer.__name__)}}
    success: dict[str, Any] = {"description": "Successful Response"}
    if content is not None:
        success["content"] = content
    responses = {"204" if content is None else "200": success}
    for status in (*_ALWAYS, *endpoint.refusals):
        phrase = HTTPStatus(status).phrase if isinstance(status, int) else "Default Response"
        responses[str(status)] = {"description": phrase, "content": {"application/json": error}}
    return responses


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {
                "type": "string",
                "title": name.title(),
                **endpoint.placeholders.get(name, {}),
            },
        }
        for name in re.findall(r"{(\w+)", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema()
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": described}
        for name, described in schema["properties"].items()
    ]
