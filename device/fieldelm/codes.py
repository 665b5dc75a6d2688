"""Every string that a frame, an MQTT topic or a page uses, and the number it has on the air.

A string's number is its place in its tuple, so entries are only ever added at the end. CPython and MicroPython import
this module alike.
"""

STATES = (
    "commissioning",
    "watching",
    "suspect",
    "alarm",
    "relearning",
    "sensor_fault",
    "service",
    "safe_mode",
)

EVENTS = (
    "boot",
    "commissioned",
    "commissioning_failed",
    "machine_alarm",
    "alarm_cleared",
    "environment_changed",
    "relearned",
    "relearn_undone",
    "change_unconfirmed",
    "change_confirmed",
    "sensor_fault",
    "sensor_ok",
    "battery_low",
)

SEVERITIES = ("info", "warning", "alarm")

VERDICTS = ("normal", "uncertain", "anomaly")

POLICIES = ("auto", "ask", "never")

# 0 on the air: no fault
SENSOR_FAULTS = (None, "dead", "stuck", "saturated", "clipped", "detached", "gain", "noisy", "rate")

DROP_REASONS = (
    "bad_length",
    "bad_version",
    "unknown_node",
    "bad_tag",
    "replayed",
    "bad_payload",
    "serial_garbage",
    "store_full",
)

# An environment that changed is a warning; only the machine itself raises an alarm.
SEVERITY_OF_EVENT = {
    "boot": "info",
    "commissioned": "info",
    "commissioning_failed": "warning",
    "machine_alarm": "alarm",
    "alarm_cleared": "info",
    "environment_changed": "warning",
    "relearned": "info",
    "relearn_undone": "warning",
    "change_unconfirmed": "warning",
    "change_confirmed": "info",
    "sensor_fault": "warning",
    "sensor_ok": "info",
    "battery_low": "warning",
}

# 0 is not a command: an all-zero payload never does anything.
COMMANDS = (
    None,
    "retrain",
    "policy",
    "interval",
    "identify",
    "reboot",
    "commission",
    "confirm_change",
    "call_fault",
    "service",
    "threshold",
    "trace",
    "config_get",
    "config_set",
    "rotate_key",
    "power",
    "model_get",
    "model_put",
)

# How a node answers a command.
RESULTS = ("ok", "unknown_command", "bad_arguments", "not_now", "failed")

# What a MODEL frame is; "wanted" asks for the fragment at its offset, the last two tell what became of a model that came.
MODEL_PARTS = ("fragment", "wanted", "taken", "refused")

# What a TRACE shows.
TRACES = ("bands", "residuals")

# What a node prints on its console.
CONSOLES = ("rows", "events", "off")

BOOT_CAUSES = ("unknown", "power_on", "watchdog", "requested", "failed")
