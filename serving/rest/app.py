"""The REST app: every path of both protocols, as one ASGI app that runs bare or mounted in another."""

import re

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.routing import Route

from serving.control import Control
from serving.engine import Engine
from serving.limits import MAX_MESSAGE_BYTES, REQUEST_TIMEOUT_SECONDS
from serving.oip.wording import in_tritons_words
from serving.rest.direct import ByContent, ByLayout, Shortcut
from serving.rest.endpoint import Endpoint, Handler
from serving.rest.errors import routing_error
from serving.rest.oip import OpenInference
from serving.rest.oip_tensors import HEADER_LENGTH
from serving.rest.shortcuts import Shortcuts
from serving.rest.tfserving import TensorFlowServing
from serving.rest.triton import TritonExtensions


class _NameConvertor(StringConvertor):
    """A model, version or label: what follows a colon is a method."""

    regex = "[^/:]+"


class _DigitsConvertor(StringConvertor):
    """A version, as TF Serving takes them."""

    regex = "[0-9]+"


register_url_convertor("servable", _NameConvertor())
register_url_convertor("digits", _DigitsConvertor())

_V1 = "/v1/models/{model:servable}"
_V2 = "/v2/models/{model:servable}"
_VERSION = "/versions/{version:servable}"
_V1_VERSION = "/versions/{version:digits}"
_LABEL = "/labels/{label:servable}"


def build_app(
    engine: Engine,
    control: Control,
    *,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    body_timeout: float = REQUEST_TIMEOUT_SECONDS,
    allow_model_control: bool = False,
) -> Shortcuts:
    """The app; it needs no lifespan.

    max_message_bytes: the largest body; a larger one is answered 413.
    body_timeout: seconds until a body must be complete; a slower one is answered 408.
    allow_model_control: whether callers may load and unload models.
    """

    def route(path: str, method: str, handler: Handler) -> Route:
        # Triton compresses inferences alone, and one of its clients unpacks nothing else, whatever it says it accepts.
        compresses = not path.startswith("/v2")
        endpoint = Endpoint(handler, max_body_bytes=max_message_bytes, body_timeout=body_timeout, compresses=compresses)
        return Route(path, endpoint, methods=[method])

    def inference(path: str, handler: Handler, shortcut: Shortcut | None = None) -> Route:
        endpoint = Endpoint(
            handler,
            max_body_bytes=max_message_bytes,
            body_timeout=body_timeout,
            refusals=engine.refusals,
            shortcut=shortcut,
        )
        return Route(path, endpoint, methods=["POST"])

    v1 = TensorFlowServing(engine, control)
    v2 = OpenInference(engine, control)
    triton = TritonExtensions(engine, control, allow_model_control=allow_model_control)
    predicting = ByContent(engine, "predict", v1.asked)
    inferring = ByLayout(engine, "infer", v2.asked, (HEADER_LENGTH.lower(),))
    routes = [route("/v1/models", "GET", v1.no_model)]
    for which in ("", _V1_VERSION, _LABEL):
        routes += [
            inference(f"{_V1}{which}:predict", v1.predict, predicting),
            inference(f"{_V1}{which}:classify", v1.classify),
            inference(f"{_V1}{which}:regress", v1.regress),
            route(f"{_V1}{which}", "GET", v1.status),
            route(f"{_V1}{which}/metadata", "GET", v1.metadata),
        ]
    for spelled in routes:  # however it is spelled, as TF Serving takes it
        spelled.path_regex = re.compile(spelled.path_regex.pattern, re.IGNORECASE)
    # Before the models' own addresses, of which the first has the same form.
    routes.append(route("/v2/models/stats", "GET", triton.statistics))
    for which in ("", _VERSION):
        routes += [
            inference(f"{_V2}{which}/infer", in_tritons_words(v2.infer), inferring),
            route(f"{_V2}{which}/ready", "GET", v2.model_ready),
            route(f"{_V2}{which}", "GET", in_tritons_words(v2.model_metadata)),
            route(f"{_V2}{which}/config", "GET", in_tritons_words(triton.config)),
            route(f"{_V2}{which}/stats", "GET", in_tritons_words(triton.statistics)),
        ]
    routes += [
        route("/v2/health/live", "GET", v2.live),
        route("/v2/health/ready", "GET", v2.ready),
        route("/v2", "GET", v2.server_metadata),
        route("/v2/", "GET", v2.server_metadata),  # as the specification's OpenAPI document has it
        route("/v2/repository/index", "POST", triton.index),
        route("/v2/repository/models/{model:servable}/load", "POST", triton.load),
        route("/v2/repository/models/{model:servable}/unload", "POST", triton.unload),
    ]
    for method in ("GET", "POST"):
        routes += [
            route(f"{_V2}/trace/setting", method, triton.no_tracing),
            route("/v2/trace/setting", method, triton.no_tracing),
            route("/v2/logging", method, triton.no_logging),
            route("/v2/systemsharedmemory/{rest:path}", method, triton.no_shared_memory),
            route("/v2/cudasharedmemory/{rest:path}", method, triton.no_shared_memory),
        ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: routing_error})
    # A path is right or wrong; a redirect would be built from headers that anybody can write.
    app.router.redirect_slashes = False
    return Shortcuts(app)
