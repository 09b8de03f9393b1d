"""Watches a training run by its own figures and speaks early. Free of any trainer.

    monitor = Monitor()
    for step, metrics in training():
        for event in monitor.see(step, metrics):  # any mapping of names to numbers; unknown names are left aside
            print(event)

Three rules, one figure at a time (`monitor.watches.WATCHES` is the table of figures: names, directions, limits, the
usual cause, what to do):

- *change*: the figure lies, for sure, further from its reference than a healthy run drifts (`monitor.change`). The
  reference is the first half of the steps seen, at most `MonitorConfig.reference` of them; for what training should
  raise (reward, accuracy, format) the best stretch so far; or what `Monitor.refer` was given. Of the runs whose figures
  drift no further than their allowance, at most `false_alarm` raise any alarm of change: docs/monitor.md says what that
  rests on, and how it is measured.
- *collapse*: the last 4 or 5 steps of what training should raise all lie below the 27 before, their mean far below.
- *state*: some figures are bad as they stand, whatever they were before: the mean of the last steps against a limit.

Two files in the run's folder, one JSON object a line, are written by `monitor.journal.Journal`:

- `figures.jsonl`: `{"step": 12, "length": 31.5, "lucky_share": 0.2, ...}`, the figures watched, by the names of
  `WATCHES`. A figure that a step does not have is not in its row; of two rows with one step the later counts.
- `events.jsonl`: the fields of `Event`. `severity` is `critical`, `warning`, or `note` (no alarm: a reference was
  taken, which is in `reference`, and `bound` is what is still healthy; or the log's steps start over).

`monitor.logs` reads the logs of other trainers; `monitor.alerts.Webhook` posts alarms to a chat.
"""

from rlguard.monitor.alerts import Webhook
from rlguard.monitor.core import Event, Monitor, MonitorConfig
from rlguard.monitor.journal import Journal
from rlguard.monitor.watches import WATCHES, Watch

__all__ = ["WATCHES", "Event", "Journal", "Monitor", "MonitorConfig", "Watch", "Webhook"]
