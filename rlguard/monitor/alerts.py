"""Alarms where people look: a chat, by its webhook."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass

from rlguard.monitor.core import SEVERITIES, Event, Severity
from rlguard.types import InputError


@dataclass(frozen=True)
class Webhook:
    """Posts each alarm as `{"text": ...}`, the JSON of Slack, Mattermost, Rocket.Chat and Teams' workflows.

        MonitorCallback(on_event=Webhook("https://hooks.example.org/…", run="qwen-7b-math"))

    Calling it raises OSError where the other side cannot be reached or refuses; a callback counts that as a fault, and
    training goes on.
    """

    url: str
    run: str = ""
    """What the run is called in the message."""
    least: Severity = "warning"
    """The mildest severity that is posted."""
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"Webhook.url: expected an address that begins with http:// or https://, got {self.url!r}")
        if self.least not in SEVERITIES:
            raise InputError(f"Webhook.least: expected one of {', '.join(SEVERITIES)}, got {self.least!r}")

    def __call__(self, event: Event) -> None:
        if SEVERITIES.index(event.severity) > SEVERITIES.index(self.least):
            return
        lead = f"rlguard, {self.run}: " if self.run else "rlguard: "
        body = json.dumps({"text": "\n".join(filter(None, (f"{lead}{event}", event.advice)))}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s):
                pass
        except urllib.error.HTTPError as error:
            raise OSError(f"the webhook answered {error.code} {error.reason}") from error
