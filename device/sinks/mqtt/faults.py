"""The faults of the connection to a broker. Each begins and ends once, however often the broker repeats itself."""

from __future__ import annotations

import logging
import time

from pocketsight.device.faults import FaultReporter
from pocketsight.device.sinks.mqtt.connection import Answer

BROKER_LOST, BROKER_REFUSED, SESSION_TAKEN_OVER = "broker lost", "broker refused", "session taken over"
EVENTS_DENIED, MESSAGES_DENIED, TOPIC_SHARED = "events denied", "messages denied", "topic shared"
OUTBOX_CORRUPT, OUTBOX_FULL = "outbox corrupt", "outbox full"
# Seconds that a connection must last after another client took over the session. Longer than the wait before the next
# attempt to connect: two clients that throw each other out are one fault.
TAKEOVER_CLEAR_AFTER = 150.0
# Seconds without another run on our topic; longer than the interval of its state messages.
SHARED_CLEAR_AFTER = 90.0

logger = logging.getLogger(__name__)


class BrokerFaults:
    """Reports what is wrong with a broker, its address and its access rights."""

    def __init__(self, address: str, report: FaultReporter) -> None:
        self.address, self.report = address, report
        self._active: dict[str, float] = {}  # by name: monotonic time when it was seen last
        self._denied_topics: set[str] = set()  # of other messages than events
        self._logged: set[str] = set()  # topics
        self._lost_events = 0  # since the fault "events denied" began

    def begin(self, fault: str, detail: str) -> None:
        """A fault begins, or goes on."""
        is_new = fault not in self._active
        self._active[fault] = time.monotonic()
        if is_new:
            self.report(fault, True, f"{self.address}: {detail}")

    def end(self, fault: str, detail: str = "") -> None:
        """A fault is over, if it was active."""
        if self._active.pop(fault, None) is not None:
            self.report(fault, False, detail)

    def is_active(self, fault: str) -> bool:
        """Whether a fault has begun and is not over."""
        return fault in self._active

    def connected(self) -> None:
        """The broker has accepted the connection."""
        for fault in (BROKER_LOST, BROKER_REFUSED):
            self.end(fault, f"{self.address} is back")

    def tick(self, connected_since: float) -> None:
        """End the faults that are over after some time without them."""
        now = time.monotonic()
        if now - connected_since > TAKEOVER_CLEAR_AFTER:
            self.end(SESSION_TAKEN_OVER, "the connection is ours again")
        if now - self._active.get(TOPIC_SHARED, now) > SHARED_CLEAR_AFTER:
            self.end(TOPIC_SHARED, "no other run publishes to this topic")

    def answered(self, answer: Answer) -> None:
        """The broker has accepted or denied a message or a subscription."""
        if answer.event is not None:
            self._event_answered(answer)
        elif answer.reason:
            self._denied_topics.add(answer.topic)
            self._log_denied(answer)
            self.begin(MESSAGES_DENIED, f"{answer.topic}: {answer.reason}; {_hint(answer.reason)}")
        elif answer.topic in self._denied_topics:
            self._denied_topics.discard(answer.topic)
            if not self._denied_topics:
                self.end(MESSAGES_DENIED, f"{self.address} accepts all messages again")

    def _event_answered(self, answer: Answer) -> None:
        if answer.reason:
            self._lost_events += 1
            self.begin(EVENTS_DENIED, f"{answer.topic}: {answer.reason}; the event is lost; {_hint(answer.reason)}")
        elif self._lost_events:
            self.end(EVENTS_DENIED, f"{answer.topic} is accepted again; {self._lost_events} events were lost")
            self._lost_events = 0

    def _log_denied(self, answer: Answer) -> None:
        """Log every topic once: the fault names only the first one."""
        if answer.topic not in self._logged and MESSAGES_DENIED in self._active:
            logger.warning("%s: %s: %s", self.address, answer.topic, answer.reason)
        self._logged.add(answer.topic)


def _hint(reason: str) -> str:
    if reason.startswith("Packet too large"):
        return "raise the limit of the broker"
    return "allow this topic in the broker's access control list"
