"""Export of a run's spans to an OpenTelemetry collector over OTLP/HTTP. Needs the `otel` extra and OTEL_* variables."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import codex_runner
from codex_runner.domain.secret import Secret
from codex_runner.redaction.redactor import Redactor
from codex_runner.reports.spans import spans
from codex_runner.text.durations import format_duration
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from codex_runner.domain.event import Record
    from codex_runner.domain.state import RunState
    from codex_runner.reports.spans import Span

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_BATCH = 1000  # spans in each request
_DEADLINE = 30.0  # seconds for all requests; each has OTEL_EXPORTER_OTLP_TIMEOUT, 10 s by default


def wants_spans(environ: Mapping[str, str]) -> bool:
    """Whether the OTEL_* variables ask for spans: they name an endpoint or `otlp`, and do not disable the SDK."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get("OTEL_TRACES_EXPORTER", "").replace(" ", "").lower()
    return "otlp" in exporters.split(",") if exporters else any(environ.get(name) for name in _ENDPOINTS)


def export_spans(
    state: RunState, records: Iterable[Record], environ: Mapping[str, str], *, link: str = ""
) -> list[str]:
    """Send a run's spans to the endpoint of the OTEL_* variables. Returns a sentence if that failed, else [].

    `environ` is the process's own environment, which the SDK reads by itself. With TRACEPARENT (and TRACESTATE) the run
    belongs to that trace. Ids are derived from the run's id, so it is idempotent. Blocks for at most 40 seconds if the
    collector does not answer. `link` is the address of the CI job. Raises nothing.
    """
    if not wants_spans(environ):
        return []
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        return [f"No traces were sent: the protocol is {protocol}, but only http/protobuf is supported."]
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401 - an extra
    except ImportError:
        return ["No traces were sent: the `otel` extra is not installed (pip install 'codex-runner[otel]')."]
    with _sayings() as said:
        try:
            sent = _send(_made(spans(state, records, link=link), state.run_id, environ))
        except Exception as error:  # noqa: BLE001 - no error here may fail a run that succeeded
            sent = False
            said.append(f"{type(error).__name__}: {error}")
    if sent:
        return []
    why = one_line(
        Redactor(_header_values(environ)).text(" ".join(said[-2:])), 400
    )  # the last message says only that there are no more tries
    return [f"Traces were not sent, or not all: {why or 'reason unknown'}"]


def _made(planned: Sequence[Span], run_id: str, environ: Mapping[str, str]) -> Sequence[Any]:
    """Return the SDK's spans, subject to its sampler and limits."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace.propagation.tracecontext import (
        TraceContextTextMapPropagator,
    )

    collected = InMemorySpanExporter()
    identities = cast("Any", _Identities(run_id))
    provider = TracerProvider(resource=_resource(), id_generator=identities, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(collected))
    tracer = provider.get_tracer("codex_runner", codex_runner.__version__)
    carrier = {name: environ[name.upper()] for name in ("traceparent", "tracestate") if environ.get(name.upper())}
    outside = TraceContextTextMapPropagator().extract(carrier)
    made: list[Any] = []
    for each in planned:
        context = outside if each.parent is None else trace.set_span_in_context(made[each.parent])
        span = tracer.start_span(each.name, context, attributes=each.attributes, start_time=_nanoseconds(each.start))
        for at, name, attributes in each.events:
            span.add_event(name, attributes, timestamp=_nanoseconds(at))
        if each.error:
            span.set_status(trace.StatusCode.ERROR, each.error)
        made.append(span)
    for span, each in zip(made, planned, strict=True):
        span.end(_nanoseconds(each.end))
    return collected.get_finished_spans()


def _send(finished: Sequence[Any]) -> bool:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    exporter: Any = OTLPSpanExporter()
    until = time.monotonic() + _DEADLINE
    try:
        for start in range(0, len(finished), _BATCH):
            if time.monotonic() > until:
                raise TimeoutError(f"{start} of {len(finished)} spans were sent in {format_duration(_DEADLINE)}")
            if exporter.export(finished[start : start + _BATCH]) is not SpanExportResult.SUCCESS:
                return False
    finally:
        exporter.shutdown()
    return True


def _resource() -> Any:
    """Return the sending resource: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    from opentelemetry.sdk.resources import Resource

    ours = Resource({"service.name": "codex-runner", "service.version": codex_runner.__version__})
    theirs = Resource.create()
    unnamed = str(theirs.attributes.get("service.name", "")).startswith("unknown_service")
    return theirs.merge(ours) if unnamed else ours.merge(theirs)


class _Identities:
    """An id generator that derives ids from the run's id, so that the same spans get the same ids."""

    def __init__(self, run_id: str) -> None:
        self._run_id, self._spans = run_id, 0

    def generate_trace_id(self) -> int:
        return self._number("trace", 16)

    def generate_span_id(self) -> int:
        self._spans += 1
        return self._number(f"span {self._spans}", 8)

    def is_trace_id_random(self) -> bool:
        return True

    def _number(self, what: str, size: int) -> int:
        digest = hashlib.sha256(f"{self._run_id} {what}".encode(errors="replace")).digest()
        return int.from_bytes(digest[:size], "big") or 1  # 0 is not a valid id


class _Sayings(logging.Handler):
    """Collects this thread's log: another thread may send another run's spans, with that run's key."""

    def __init__(self, said: list[str], *, propagated: bool) -> None:
        super().__init__(logging.WARNING)
        self._said, self._thread = said, threading.get_ident()
        self.propagated = propagated

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._said.append(record.getMessage())


_listening = threading.Lock()


@contextlib.contextmanager
def _sayings() -> Iterator[list[str]]:
    """Collect the SDK's log messages, which would otherwise be printed into the run's own log."""
    said: list[str] = []
    logger = logging.getLogger("opentelemetry")

    def others() -> Iterator[_Sayings]:
        return (each for each in logger.handlers if isinstance(each, _Sayings))

    with _listening:
        handler = _Sayings(said, propagated=next((each.propagated for each in others()), logger.propagate))
        logger.propagate = False
        logger.addHandler(handler)
    try:
        yield said
    finally:
        with _listening:
            logger.removeHandler(handler)
            if next(others(), None) is None:
                logger.propagate = handler.propagated


def _header_values(environ: Mapping[str, str]) -> Iterator[Secret]:
    """Yield the values of the request headers: usually keys."""
    for variable in _HEADERS:
        for header in environ.get(variable, "").split(","):
            value = header.partition("=")[2].strip()
            yield from (Secret(variable, text) for text in {value, unquote(value)} if text)


def _nanoseconds(seconds: float) -> int:
    return max(0, int(seconds * 1_000_000)) * 1000
