"""What a worker counts, in Prometheus' terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tally(Collector):
    """A counter for the hot path: an integer until somebody reads it.

    prometheus_client's own takes a lock for each step, which nothing here needs: a worker counts on
    one thread.
    """

    def __init__(self, name: str, help_text: str, *, registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._value = 0
        registry.register(self)

    def add(self, count: int = 1) -> None:
        """Count up."""
        self._value += count

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Hand the value to whoever scrapes."""
        yield CounterMetricFamily(self._name, self._help, value=self._value)


class Metrics:
    """One worker's counters, in a registry of its own: two apps in one process don't mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.connections = Gauge(
            "hint_relay_connections", "Facilitators connected now.", registry=self.registry
        )
        self.connects = Tally(
            "hint_relay_connects", "Facilitators that have connected.", registry=self.registry
        )
        self.disconnects = Counter(
            "hint_relay_disconnects",
            "Facilitators that have disconnected, by close code.",
            ["code"],
            registry=self.registry,
        )
        self.connection_seconds = Histogram(
            "hint_relay_connection_seconds",
            "How long connections lasted.",
            buckets=(1, 10, 60, 300, 900, 1800, 3600, 7200, 14400),
            registry=self.registry,
        )
        self.sessions = Gauge(
            "hint_relay_sessions", "Sessions open on this worker.", registry=self.registry
        )
        self.tasks = Gauge(
            "hint_relay_tasks", "Tasks alive in this worker's event loop.", registry=self.registry
        )
        self.publications = Tally(
            "hint_relay_publications", "Publications received from Redis.", registry=self.registry
        )
        self.dropped_publications = Tally(
            "hint_relay_dropped_publications",
            "Plain publications that were no JSON object, or too large.",
            registry=self.registry,
        )
        self.deliveries = Tally(
            "hint_relay_deliveries", "Messages sent to facilitators.", registry=self.registry
        )
        self.inbound = Counter(
            "hint_relay_inbound_messages",
            "Messages received from facilitators, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.acked = Counter(
            "hint_relay_acked_messages",
            "Messages of facilitators that were published and acknowledged, by type.",
            ["type"],
            registry=self.registry,
        )
        self.published = Counter(
            "hint_relay_published_messages",
            "Messages that this worker has published for agents, by the way they came.",
            ["way"],
            registry=self.registry,
        )
        self.limits = Counter(
            "hint_relay_limits_reached",
            "Connections, requests and messages that a limit has refused, by the limit's setting.",
            ["limit"],
            registry=self.registry,
        )
        self.refused = Counter(
            "hint_relay_refused",
            "Requests refused before they were served, by code.",
            ["code"],
            registry=self.registry,
        )
        self.revocations = Gauge(
            "hint_relay_revocations",
            "Revoked tokens that this worker knows.",
            registry=self.registry,
        )
        self.expired = Tally(
            "hint_relay_expired_tokens",
            "Connections ended because their token had expired, or was revoked.",
            registry=self.registry,
        )
        self.presence_told = Tally(
            "hint_relay_presence_told",
            "Times that this worker told a session who is watching.",
            registry=self.registry,
        )
        self.interrupted_hints = Tally(
            "hint_relay_interrupted_hints",
            "Streaming hints that this worker ended because their producer had died.",
            registry=self.registry,
        )
        self.log_reads = Tally(
            "hint_relay_log_reads", "Reads of a session's log.", registry=self.registry
        )

    def exposition(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self.registry)
